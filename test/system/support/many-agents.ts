/**
 * `node --import=tsx many-agents.ts STATE_DIR CONFIG MEMBERS`: many agents in one process, each with a state folder and sockets of its
 * own. MEMBERS is a JSON file with a list of {stateDir, invite}; who has joined already needs no invite. The control socket of
 * STATE_DIR says how far they are.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { Agent, loadAgentConfig } from '@fieldwhisper/agent'
import { createReporter, ensureStateDir, serveControl } from '@fieldwhisper/host'
import { decodeInvite } from '@fieldwhisper/protocol'
import { prepareJoin } from '../../../agent/src/join.js'
import { StateFolder } from '../../../agent/src/state/folder.js'

export interface Member {
  readonly stateDir: string
  readonly invite: string
}

/** In the order of the members. */
export type ManyStatus = readonly {
  readonly joined: boolean
  readonly accepted: number
  readonly acked: number
  readonly dropped: number
}[]

const [stateDir, configFile, membersFile] = process.argv.slice(2) as [string, string, string]
const config = loadAgentConfig(configFile)
const members = JSON.parse(readFileSync(membersFile, 'utf8')) as Member[]
const reporter = createReporter({ level: 'warn' })

const agents: Agent[] = []
for (const { stateDir, invite } of members) {
  ensureStateDir(stateDir, reporter)
  const folder = new StateFolder(stateDir, reporter)
  if (folder.standing().state !== 'member') prepareJoin(folder, decodeInvite(invite), reporter)
  const onFatal = (error: Error): void => {
    throw error
  }
  agents.push(new Agent({ stateDir, config, reporter, sources: true, onFatal }))
}
await Promise.all(agents.map((agent) => agent.start()))

function status(): ManyStatus {
  return agents.map((agent) => {
    const { joined, session, spool } = agent.status()
    return { joined: joined && session.answered, ...spool }
  })
}

mkdirSync(stateDir, { recursive: true, mode: 0o700 })
const control = await serveControl(stateDir, { status }, reporter)
process.once('SIGTERM', () => {
  void Promise.all(agents.map((agent) => agent.stop())).then(() => control.close())
})
