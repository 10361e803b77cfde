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

export function hasJoined(folder: string): boolean {
  return existsSync(join(folder, 'identity.json'))
}

export interface JoinSteps {
  readonly gateway: (args: readonly string[]) => Promise<Finished>
  readonly agent: (args: readonly string[], onLine: (line: string) => void) => Promise<Finished>
  readonly progress: (text: string) => void
}

/** The gateway invites this machine's agent, and the agent joins: what an operator does by hand for every sensor host. */
export async function joinAgent(folders: Folders, steps: JoinSteps): Promise<void> {
  const { gateway, gatewayConfig, agent, agentConfig } = folders
  const place = ['--state', gateway, '--config', gatewayConfig]
  // The name may belong to an agent whose folder was removed; the invite is for this machine in any case.
  const { stdout: invite } = await steps.gateway(['enroll', agentName(), '--replace', '--plain', ...place])
  await steps.agent(['join', invite.trim(), '--state', agent, '--config', agentConfig], steps.progress)
}
