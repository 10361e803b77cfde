import type { ProgramReporter, ReportedEvent } from '@fieldwhisper/host'
import type { CourierStatus, LanStatus } from '@fieldwhisper/mesh'
import type { HoldReason, RefusalCode } from '@fieldwhisper/protocol'
import type { CoreStatus } from './core/index.js'
import type { Latest } from './intake.js'
import type { SourceStatus } from './sources/source.js'
import type { SpoolCounters } from './spool/index.js'

/** With something unacknowledged, the gateway should have been heard within this time. */
const HEARD_WITHIN_MS = 90_000
const EVENTS_SHOWN = 20

export interface AgentStatus {
  readonly ok: boolean
  readonly version: string
  /** What an operator should look at; empty where all is well. */
  readonly problems: readonly string[]
  /** Its name in the site, once it has joined. */
  readonly name: string | null
  readonly joined: boolean
  readonly session: {
    readonly state: 'none' | 'waiting' | 'answered'
    readonly id?: string
    readonly kind?: string
    readonly answered: boolean
  }
  readonly spool: SpoolCounters
  /** Packets sealed in this process. */
  readonly sealed: number
  readonly acknowledgedPackets: number
  readonly inFlight: number
  readonly paths: {
    readonly lan: {
      readonly enabled: boolean
      readonly links: number
      readonly devices: number
      readonly searching: boolean
      readonly lastAckAgoMs?: number
    }
    readonly relays: readonly {
      readonly url: string
      readonly connected: boolean
      readonly lastAckAgoMs?: number
    }[]
  }
  readonly heardAgoMs?: number
  /** Readings that this agent had to drop. */
  readonly lost: number
  readonly sources: readonly SourceStatus[]
  readonly latest: readonly Latest[]
  readonly hold?: HoldReason
  readonly refused?: RefusalCode
  readonly events: readonly ReportedEvent[]
}

export interface StatusParts {
  readonly version: string
  readonly name: string | undefined
  readonly core: CoreStatus | undefined
  readonly courier: CourierStatus | undefined
  readonly spool: SpoolCounters
  readonly lan: LanStatus | undefined
  readonly relays: readonly { readonly url: string; readonly connected: boolean }[]
  readonly sources: readonly SourceStatus[]
  readonly latest: readonly Latest[]
  readonly reporter: ProgramReporter
  readonly now: number
}

export function agentStatus(parts: StatusParts): AgentStatus {
  const { core, courier, spool, lan, now } = parts
  const session = core?.session
  const joined = core?.standing === 'member'
  const problems = problemsOf(parts)
  const ago = (at: number | undefined): { lastAckAgoMs: number } | undefined =>
    at === undefined ? undefined : { lastAckAgoMs: Math.round(now - at) }
  const links = courier?.links ?? []
  const lastLinkAck = links.reduce<number | undefined>(
    (latest, { lastAckAt }) => (lastAckAt !== undefined && lastAckAt > (latest ?? -1) ? lastAckAt : latest),
    undefined,
  )
  return {
    ok: problems.length === 0,
    version: parts.version,
    problems,
    name: parts.name ?? null,
    joined,
    session: session
      ? {
          state: session.answered ? 'answered' : 'waiting',
          id: session.id,
          kind: session.kind,
          answered: session.answered,
        }
      : { state: 'none', answered: false },
    spool,
    sealed: core?.sealed ?? 0,
    acknowledgedPackets: core?.acknowledgedPackets ?? 0,
    inFlight: courier?.outstanding ?? 0,
    paths: {
      lan: {
        enabled: lan !== undefined,
        links: links.length,
        devices: lan?.heardDevices ?? 0,
        searching: courier?.searching ?? false,
        ...ago(lastLinkAck),
      },
      relays: parts.relays.map(({ url, connected }) => ({
        url,
        connected,
        ...ago(courier?.relays.find(({ relay }) => relay === url)?.lastAckAt),
      })),
    },
    ...(core?.heardAgoMs !== undefined && { heardAgoMs: Math.round(core.heardAgoMs) }),
    lost: spool.dropped,
    sources: parts.sources,
    latest: parts.latest,
    ...(core?.hold && { hold: core.hold }),
    ...(core?.refused && { refused: core.refused }),
    events: parts.reporter.recent().slice(-EVENTS_SHOWN),
  }
}

function problemsOf({ core, spool, sources }: StatusParts): string[] {
  const problems: string[] = []
  if (!core) problems.push('it has no identity: join again with a new invite')
  else if (core.standing === 'stranger') problems.push('it belongs to no site: join with an invite')
  else if (core.refused) problems.push(`the gateway refused it: ${core.refused}`)
  else if (core.standing === 'joining') problems.push('it has not joined yet: the gateway has not answered')
  else if (!core.session?.answered) problems.push('the gateway has not answered since the start')
  else if (spool.held > 0 && (core.heardAgoMs ?? Infinity) > HEARD_WITHIN_MS) {
    problems.push('the gateway is not heard; readings wait in the spool')
  }
  if (core?.hold) problems.push(`the gateway holds readings back: ${HOLD_TEXT[core.hold]}`)
  for (const { name, state } of sources) if (state === 'failing') problems.push(`the source ${name} fails`)
  return problems
}

const HOLD_TEXT: Readonly<Record<HoldReason, string>> = {
  'outbox-full': 'its outbox is full, the MQTT broker takes nothing',
  disk: 'its disk is full',
  confirm: 'it waits for the operator (gateway confirm NAME)',
  clone: 'a copy of this device may exist, it waits for the operator (gateway clone NAME)',
}
