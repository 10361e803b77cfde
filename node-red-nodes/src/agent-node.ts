import { isAbsolute, join } from 'node:path'
import type { Details } from './errors.js'
import { HostedAgent } from './hosted-agent.js'
import { textOf, type Config, type Node, type Red } from './red.js'

/** What an agent node is for the nodes that publish. `say` uses the agent node's catalogue, so that each sentence stands once. */
export interface AgentHandle {
  readonly say: (key: string, details?: Details) => string
  readonly agent: HostedAgent
}

export interface AgentNode extends Node {
  readonly fieldwhisperAgent: AgentHandle
}

/** The config node: one agent that runs inside this Node-RED, from the deploy on. */
export function registerAgent(RED: Red): void {
  function FieldwhisperAgent(this: Node, config: Config): void {
    RED.nodes.createNode(this, config)
    const agent = new HostedAgent({
      stateDir: folderOf(config, RED.settings.userDir),
      name: textOf(config, 'name').slice(0, 64),
      invite: this.credentials?.['invite']?.trim() ?? '',
      lan: config['lan'] !== false,
      room: textOf(config, 'room'),
      onFull: config['full'] === 'drop_newest' ? 'drop_newest' : 'drop_oldest',
      onProblem: (text) => this.warn(text),
    })
    const handle: AgentHandle = { say: (key, details) => RED._(key, details), agent }
    Object.assign(this, { fieldwhisperAgent: handle })
    this.on('close', (_removed, done) => void agent.stop().then(done, done))
  }
  RED.nodes.registerType('fieldwhisper-agent', FieldwhisperAgent, {
    credentials: { invite: { type: 'password' } },
  })
}

/** Keys and readings that wait: a folder of this node, for as long as the node has its id. */
function folderOf(config: Config, userDir = process.cwd()): string {
  const folder = textOf(config, 'folder')
  if (folder !== '') return isAbsolute(folder) ? folder : join(userDir, folder)
  return join(userDir, 'fieldwhisper', config.id.replace(/[^\w-]/g, '_'))
}
