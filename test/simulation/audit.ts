import { DEFAULT_COURIER_LIMITS } from '../../mesh/src/courier/limits.js'
import {
  MAX_PARKED_BYTES,
  MAX_SESSIONS_AN_AGENT,
  MAX_SET_ASIDE_BYTES,
  MAX_STREAMS,
} from '../../gateway/src/core/constants.js'
import { DEFAULT_CORE_LIMITS } from '../../gateway/src/core/limits.js'
import { TABLE } from '../../gateway/src/core/tables.js'
import type { Factory } from './factory.js'

const AUDIT_MS = 10_000
const { windowPackets, windowBytes } = DEFAULT_COURIER_LIMITS

/** Tables of the gateway and the relays: so many a device, whatever is thrown at them. */
const MAX_MAILBOXES = 100

/** Looks at everything now and then. */
export function audit(factory: Factory): void {
  const { world, agents, relays, gateway, checkers } = factory
  for (const { name, spool, engine } of agents) {
    if (!spool || !engine) continue
    checkers.conserved(name, spool)
    const { outstanding, bytes } = engine.courierStatus()
    if (outstanding > windowPackets || bytes > windowBytes)
      world.broken(`${name} has ${outstanding} packets outstanding, ${bytes} bytes`)
  }
  const { core } = gateway
  if (core) {
    const sessions = core.sessions.size
    if (sessions > MAX_SESSIONS_AN_AGENT * Math.max(1, agents.length))
      world.broken(`the gateway has ${sessions} sessions`)
    if (core.waitingBytes > DEFAULT_CORE_LIMITS.waitingBytes)
      world.broken(`${core.waitingBytes} bytes wait at the gateway`)
    const { parkedBytes } = core.desk
    if (parkedBytes > MAX_PARKED_BYTES || core.setAsideBytes > MAX_SET_ASIDE_BYTES)
      world.broken(`${parkedBytes} bytes are parked, ${core.setAsideBytes} set aside`)
    const streams = [...gateway.disk.store.range(TABLE.ledger)].length
    if (streams > MAX_STREAMS * agents.length) world.broken(`the ledger has ${streams} streams`)
  }
  for (const { name, mailboxes } of relays) {
    const count = mailboxes?.counts.mailboxes ?? 0
    if (count > MAX_MAILBOXES * (agents.length + 1)) world.broken(`${name} has ${count} mailboxes`)
  }
  world.after(AUDIT_MS * world.pace, () => audit(factory))
}

/** Nobody waits for anything: every agent is up and its spool is empty. */
export function done({ agents, off }: Factory): boolean {
  return agents.every((agent) => off.has(agent) || (agent.spool && agent.spool.counters.held === 0))
}

export function unfinished({ agents, off, checkers, world }: Factory): string {
  const left = agents.flatMap((agent) => {
    const { name, spool, engine } = agent
    if (off.has(agent)) return []
    if (spool && engine && spool.counters.held === 0) return []
    const { standing, session } = engine?.core.status(world.now) ?? {}
    return [`${name} holds ${spool?.counters.held}: ${standing}, session ${JSON.stringify(session)}`]
  })
  return `not everything arrived: ${checkers.missing().length} missing; ${left.join('; ')}`
}

interface Loss {
  readonly name: string
  /** Readings that the spool took and the gateway never published. */
  readonly lost: number
  /** By the counters of the spool: some of them may have arrived before they were given up. */
  readonly dropped: number
  /** What the gateway counts as lost. */
  readonly told: number
}

function losses({ agents, gateway, checkers }: Factory): readonly Loss[] {
  return agents.map(({ name, spool }) => ({
    name,
    lost: (spool?.counters.accepted ?? NaN) - checkers.publishedOf(name),
    dropped: spool?.counters.dropped ?? NaN,
    told: gateway.core?.agents.named(name)?.lost ?? NaN,
  }))
}

/**
 * What the gateway counts as lost is what was dropped. Where some of that had arrived all the same it estimates how many readings the
 * rest had, and counts neither more than the drops nor none.
 */
function agrees({ lost, dropped, told }: Loss): boolean {
  return lost === dropped ? told === dropped : lost < dropped && told <= dropped && (told > 0 || lost === 0)
}

export function gapsAgree(factory: Factory): boolean {
  return losses(factory).every(agrees)
}

export function gapsText(factory: Factory): string {
  const wrong = losses(factory).filter((loss) => !agrees(loss))
  return wrong
    .map(
      ({ name, ...counts }) => `${name} and the gateway count losses differently: ${JSON.stringify(counts)}`,
    )
    .join('; ')
}
