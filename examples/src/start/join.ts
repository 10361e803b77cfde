import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Finished } from '../programs/program.js'
import type { Folders } from './folders.js'

/** What the agent of this machine is called: the host name, as far as it fits a topic level. */
export function agentName(host = hostname()): string {
  const name =
    host
      .split('.')[0]
      ?.replaceAll(/[^\w-]/g, '-')
      .slice(0, 64) ?? ''
  return name === '' ? 'this-machine' : name
}

/** `member`: it has its key of the site. `joining`: it has an invite, with which `run` goes on by itself. */
export function membership(folder: string): 'member' | 'joining' | 'none' {
  if (existsSync(join(folder, 'key.json'))) return 'member'
  return existsSync(join(folder, 'invite.json')) ? 'joining' : 'none'
}

export interface JoinSteps {
  readonly gateway: (args: readonly string[]) => Promise<Finished>
  readonly agent: (args: readonly string[], onLine: (line: string) => void) => Promise<Finished>
  readonly progress: (text: string) => void
}

/**
 * The gateway invites this machine's agent, and the agent joins: what an operator does by hand for every sensor host. One that
 * belongs to a site whose gateway is no more leaves that first, and keeps its readings.
 */
export async function joinAgent(folders: Folders, steps: JoinSteps): Promise<void> {
  const { gateway, gatewayConfig, agent, agentConfig } = folders
  const ofAgent = ['--state', agent, '--config', agentConfig]
  if (membership(agent) !== 'none') await steps.agent(['leave', '--yes', ...ofAgent], () => undefined)
  // The name may belong to an agent whose folder was removed; the invite is for this machine in any case.
  const enroll = [
    'enroll',
    agentName(),
    '--replace',
    '--plain',
    '--state',
    gateway,
    '--config',
    gatewayConfig,
  ]
  const { stdout: invite } = await steps.gateway(enroll)
  await steps.agent(['join', invite.trim(), ...ofAgent], (line) => {
    if (!/^Join(ing|ed)\b/.test(line)) steps.progress(line)
  })
}
