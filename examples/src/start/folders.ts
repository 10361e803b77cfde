import { join } from 'node:path'

/** Where everything of one `npm start` lies. The programs' folders are the ones that their commands use by default. */
export interface Folders {
  readonly root: string
  readonly relay: string
  readonly gateway: string
  readonly agent: string
  readonly logs: string
  readonly relayConfig: string
  readonly gatewayConfig: string
  readonly agentConfig: string
}

export function foldersIn(root: string): Folders {
  return {
    root,
    relay: join(root, 'relay'),
    gateway: join(root, 'gateway'),
    agent: join(root, 'agent'),
    logs: join(root, 'logs'),
    relayConfig: join(root, 'relay.yaml'),
    gatewayConfig: join(root, 'gateway.yaml'),
    agentConfig: join(root, 'agent.yaml'),
  }
}
