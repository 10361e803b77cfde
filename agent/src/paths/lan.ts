import { systemRandom, type Clock, type Reporter } from '@fieldwhisper/host'
import { createLan, type CourierEvent, type Lan } from '@fieldwhisper/mesh'
import type { AgentConfig } from '../config/schema.js'
import type { AgentCore } from '../core/index.js'
import type { StateFolder } from '../state/folder.js'

export interface LanParts {
  readonly config: AgentConfig['lan']
  readonly limits: AgentConfig['limits']
  readonly core: AgentCore
  readonly folder: StateFolder
  readonly reporter: Reporter
  readonly clock: Pick<Clock, 'monoMs'>
  readonly courier: (event: CourierEvent) => void
  readonly packet: (link: number, packet: Uint8Array) => void
  readonly record: (link: number, record: Uint8Array) => void
}

/** The agent's side of the LAN. Nothing is opened before `start`. */
export function agentLan({
  config,
  limits,
  core,
  folder,
  reporter,
  clock,
  courier,
  packet,
  record,
}: LanParts): Lan {
  const lan = createLan({
    role: 'agent',
    limits,
    loopback: config.loopback,
    broadcast: config.broadcast,
    beaconPort: config.beacon_port,
    peers: config.peers,
    ...(config.interfaces && { interfaces: config.interfaces }),
    ...(config.listen && { listen: config.listen }),
    remembered: folder.links(),
    slot: () => core.directorySlot,
    handlers: {
      opened: ({ id }) => {
        const slot = core.directorySlot
        if (slot && core.wantsRecord(clock.monoMs())) lan.ask(id, slot)
        courier({ type: 'linkOpened', link: id })
      },
      packet,
      question: (link, slot) => {
        const newest = core.recordFor(slot)
        if (newest) lan.answer(link, newest)
      },
      record,
      closed: (link) => courier({ type: 'linkClosed', link }),
      remember: (targets) => folder.keepLinks(targets),
    },
    reporter,
    random: systemRandom,
    clock,
  })
  return lan
}
