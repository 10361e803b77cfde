import { hex, type UpMessage } from '@fieldwhisper/protocol'
import { ScriptedAgent, type AgentSession } from '../../support/scripted-agent.js'
import { CoreHarness } from './core-harness.js'

/** A gateway and one agent with a session. */
export interface Scene {
  readonly gateway: CoreHarness
  readonly agent: ScriptedAgent
  readonly session: AgentSession
}

export async function enrolled(
  gateway: CoreHarness,
  name = 'pump-7',
  seed = 7,
  options: { readonly replace?: boolean; readonly confirm?: boolean } = {},
): Promise<ScriptedAgent> {
  const { replace = false, confirm = false } = options
  return new ScriptedAgent(await gateway.core.enroll(name, { replace, confirm }), seed)
}

/** An agent that joined over link 1 with its first reading and was answered; it has not said ready. */
export async function joined(name?: string, seed?: number): Promise<Scene> {
  return join(await CoreHarness.begin(), name, seed)
}

/** The same, at a gateway that is there already. */
export async function join(gateway: CoreHarness, name?: string, seed?: number): Promise<Scene> {
  const agent = await enrolled(gateway, name, seed)
  const session = agent.join(gateway.record!, [agent.reading(1)])
  await gateway.link(1, session.hello)
  agent.read(session, gateway.answers())
  return { gateway, agent, session }
}

/** Confirmed and continued once, as a real agent does at the first answer. */
export async function settled(name?: string, seed?: number): Promise<Scene> {
  return settle(await joined(name, seed))
}

export async function settle({ gateway, agent, session }: Scene): Promise<Scene> {
  const next = agent.continue(session, agent.prekey!.oneTime)
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })), next.hello)
  agent.read(next, gateway.answers())
  await gateway.link(1, agent.seal(next, agent.empty({ ready: true, oldestSession: next.secrets.id })))
  agent.read(next, gateway.answers())
  return { gateway, agent, session: next }
}

/** Sends messages in the scene's session over link 1. */
export async function say(
  { gateway, agent, session }: Scene,
  ...messages: readonly UpMessage[]
): Promise<void> {
  await gateway.link(1, agent.seal(session, ...messages))
}

/** How often the gateway reported a code. */
export function reported(gateway: CoreHarness, code: string): number {
  return gateway.codes().filter((one) => one === code).length
}

/** Everything on the gateway's disk, for tests that nothing changed. */
export function disk(gateway: CoreHarness): string[] {
  const tables = [
    'meta',
    'agents',
    'invites',
    'prekeys',
    'hellos',
    'sessions',
    'session_up',
    'session_down',
    'ledger',
  ]
  return [...tables, 'outbox'].flatMap((table) =>
    [...gateway.store.range(table)].map(({ key, value }) => `${table} ${hex(key)} ${hex(value)}`),
  )
}

/** Readings on their way to the broker, as `stream number`. */
export function published(gateway: CoreHarness): string[] {
  return gateway.outbox().map(({ stream, number }) => `${hex(stream)} ${number}`)
}
