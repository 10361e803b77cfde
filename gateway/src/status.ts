import type { Clock, ProgramReporter, ReportedEvent } from '@fieldwhisper/host'
import type { Lan } from '@fieldwhisper/mesh'
import type { RunningRelay } from '@fieldwhisper/relay'
import type { Bridge, BridgeStatus } from './bridge/bridge.js'
import type { Agent } from './core/agents.js'
import type { GatewayCore } from './core/gateway-core.js'
import type { GatewayIdentity } from './core/ports.js'
import type { RelayState, Relays } from './relays.js'

/** What `fieldwhisper-gateway status --json` prints. */
export interface GatewayStatus {
  readonly healthy: boolean
  readonly problems: readonly string[]
  readonly site: string | null
  readonly agents: { readonly active: number; readonly waiting: number; readonly revoked: number }
  readonly sessions: number
  readonly packets: GatewayCore['desk']['counts'] | null
  readonly hold: string | null
  readonly lan: { readonly port: number | null; readonly links: number } | null
  readonly relays: readonly RelayState[]
  readonly embedded_relay: { readonly port: number } | null
  readonly mqtt: BridgeStatus | null
  readonly clock: string
  readonly events: readonly ReportedEvent[]
}

/** One line of `fieldwhisper-gateway agents --json`. */
export interface AgentLine {
  readonly name: string
  readonly status: string
  readonly key: string
  readonly last_seen: string | null
  readonly path: 'lan' | 'relay' | null
  readonly readings: number
  readonly lost: number
  /** Batches that it declared and that have not arrived. */
  readonly missing: number
}

export function gatewayStatus(parts: {
  readonly identity: GatewayIdentity | undefined
  readonly core: GatewayCore | undefined
  readonly bridge: Bridge | undefined
  readonly lan: Lan | undefined
  readonly relays: Relays | undefined
  readonly embedded: RunningRelay | undefined
  readonly clock: Clock
  readonly reporter: ProgramReporter
}): GatewayStatus {
  const { identity, core, bridge, lan, relays, embedded, clock, reporter } = parts
  const agents = core?.agents.all() ?? []
  const count = (status: Agent['status']): number => agents.filter((agent) => agent.status === status).length
  const mqtt = bridge?.status() ?? null
  const relayStates = relays?.status() ?? []
  const lanStatus = lan?.status()
  const problems = [
    ...(identity ? [] : ['the identity is missing: restore it from a backup']),
    ...(core?.hold ? [`readings are held back: ${core.hold}`] : []),
    ...(core?.blocked ? ['a second gateway runs with these keys: no handshakes are taken'] : []),
    ...(mqtt?.broker.connected
      ? []
      : [`the MQTT broker ${mqtt?.broker.address ?? ''} is not connected`.replace('  ', ' ')]),
    ...relayStates
      .filter(({ connected }) => !connected)
      .map(({ url }) => `the relay ${url} is not connected`),
    ...agents
      .filter(({ heldFrom, status }) => heldFrom > 0 && status !== 'revoked')
      .map(
        ({ name }) =>
          `two devices use the identity of ${name}: fieldwhisper-gateway clone ${name} keep|replace`,
      ),
    ...(count('waiting') > 0
      ? [`${count('waiting')} devices wait for your agreement: fieldwhisper-gateway confirm NAME`]
      : []),
  ]
  return {
    healthy: problems.length === 0,
    problems,
    site: identity?.siteName ?? null,
    agents: { active: count('active'), waiting: count('waiting'), revoked: count('revoked') },
    sessions: core?.sessions.size ?? 0,
    packets: core?.desk.counts ?? null,
    hold: core?.hold ?? null,
    lan: lanStatus ? { port: lanStatus.port ?? null, links: lanStatus.links } : null,
    relays: relayStates,
    embedded_relay: embedded ? { port: embedded.port } : null,
    mqtt,
    clock: clock.quality(),
    events: reporter.recent(),
  }
}

export function agentLines(core: GatewayCore): AgentLine[] {
  return core.agents.all().map((agent) => ({
    name: agent.name,
    status: stateOf(agent),
    key: agent.id.slice(0, 16),
    last_seen: agent.lastSeenWallMs > 0 ? new Date(agent.lastSeenWallMs).toISOString() : null,
    path: agent.lastPath ?? null,
    readings: agent.readings,
    lost: agent.lost,
    missing: core.ledger.missing(agent.key),
  }))
}

function stateOf({ status, confirmed, heldFrom }: Agent): string {
  if (status !== 'active') return status
  if (heldFrom > 0) return 'copied?'
  return confirmed ? 'active' : 'joining'
}
