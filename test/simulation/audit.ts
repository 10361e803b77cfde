import type { Factory } from './factory.js'

const AUDIT_MS = 10_000

/** Tables of the gateway and the relays: so many a device, whatever is thrown at them. */
const MAX_SESSIONS = 48
const MAX_MAILBOXES = 100
const MAX_WAITING_BYTES = 64 * 2 ** 20
const MAX_OUTSTANDING = 4_096

/** Looks at everything now and then. */
export function audit(factory: Factory): void {
  const { world, agents, relays, gateway, checkers } = factory
  for (const { name, spool, engine } of agents) {
    if (!spool || !engine) continue
    checkers.conserved(name, spool)
    const { outstanding } = engine.courierStatus()
    if (outstanding > MAX_OUTSTANDING) world.broken(`${name} has ${outstanding} packets outstanding`)
  }
  const { core } = gateway
  if (core) {
    const sessions = core.sessions.size
    if (sessions > MAX_SESSIONS * Math.max(1, agents.length))
      world.broken(`the gateway has ${sessions} sessions`)
    if (core.waitingBytes > MAX_WAITING_BYTES) world.broken(`${core.waitingBytes} bytes wait at the gateway`)
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
