import { createMemoryStore, type MemoryStore } from '@fieldwhisper/host/testing'
import { BRIDGE_TABLES, CORE_TABLES, Meta } from '@fieldwhisper/gateway/core'
import { hex, type AckMessage, type DataMessage, type UpMessage } from '@fieldwhisper/protocol'
import { ScriptedAgent, type AgentSession } from '../../support/scripted-agent.js'
import { CoreHarness, testIdentity } from './core-harness.js'

export interface Cut {
  /** The power goes at this commit, counted from 1; later ones of the restarted gateway pass. */
  readonly cutAt: number
  /** Just before the disk has it, or just after, before anything is said. */
  readonly moment: 'before' | 'after'
}

const READINGS = 8
/** Rounds after which a site that heals is done. */
const ROUNDS = 60

/**
 * The first minutes of a site, with a power cut in the gateway: enrol, join, confirm, continue, readings, a gap, a new name, a
 * second restart of the agent. The agent never loses anything itself and offers again whatever is not acknowledged.
 */
export class Sweep {
  readonly problems: string[] = []
  commits = 0
  readonly #cut: Cut
  readonly #sealed = new Map<string, string>()
  #store: MemoryStore
  #gateway: CoreHarness
  #agent: ScriptedAgent | undefined
  #sessions: AgentSession[] = []
  #ready = false
  readonly #outstanding = new Map<number, DataMessage>()
  readonly #packets: {
    readonly session: AgentSession
    readonly packet: Uint8Array
    readonly number?: number
  }[] = []
  readonly #acked = new Set<number>()
  #given = 0
  #gapAcked = false
  #renamed = false

  static async run(cut: Cut): Promise<Sweep> {
    const sweep = new Sweep(cut)
    for (let round = 0; round < ROUNDS && !sweep.#done; round++) await sweep.#round()
    sweep.#check()
    return sweep
  }

  private constructor(cut: Cut) {
    this.#cut = cut
    this.#store = createMemoryStore({ tables: [...CORE_TABLES, ...BRIDGE_TABLES] })
    this.#gateway = this.#start(1)
  }

  get #done(): boolean {
    return this.#given === READINGS && this.#outstanding.size === 0 && this.#gapAcked && this.#renamed
  }

  #start(seed: number): CoreHarness {
    const commit = this.#store.commit.bind(this.#store)
    this.#store.commit = async (writes) => {
      const cut = ++this.commits === this.#cut.cutAt
      if (cut && this.#cut.moment === 'before') throw new Error('the power is gone')
      await commit(writes)
      if (cut) throw new Error('the power is gone')
    }
    const gateway = new CoreHarness(testIdentity(), this.#store)
    gateway.now = 1_000_000 * seed
    gateway.onFatal = () => {
      // What was said in a process that died was said.
      this.#hear(gateway)
      this.#store = this.#store.afterPowerCut()
      this.#gateway = this.#start(seed + 1)
      this.#gateway.restart(seed + 10)
    }
    return gateway
  }

  async #round(): Promise<void> {
    const gateway = this.#gateway
    if (!this.#store.get('meta', Buffer.from('counters'))) {
      // `gateway init`, before anything else.
      await this.#store.commit([Meta.initialWrite()]).catch(() => gateway.onFatal(undefined))
      return
    }
    await gateway.tick(2_000)
    if (gateway !== this.#gateway || !gateway.record) return
    this.#agent ??= await this.#enrol(gateway)
    if (!this.#agent) return
    this.#act(gateway, this.#agent)
    for (const [i, { packet }] of this.#packets.entries()) {
      const route = i % 2 === 0 ? 'relay' : 'link'
      gateway.core.packet({ via: route, id: 0 }, packet)
    }
    await gateway.settle()
    this.#hear(gateway)
    if (this.#ready && !this.#renamed && this.#given > 3) await this.#rename(gateway)
  }

  async #enrol(gateway: CoreHarness): Promise<ScriptedAgent | undefined> {
    try {
      return new ScriptedAgent(await gateway.core.enroll('pump-7', { replace: false, confirm: false }), 7)
    } catch {
      return undefined
    }
  }

  async #rename(gateway: CoreHarness): Promise<void> {
    if (gateway.core.agents.named('pump-8')) this.#renamed = true
    else await gateway.core.rename('pump-7', 'pump-8').catch(() => undefined)
  }

  /** What the agent does in this round: a new session where it is time, and a reading. */
  #act(gateway: CoreHarness, agent: ScriptedAgent): void {
    const session = this.#sessions.at(-1)
    if (!session) return this.#begin(agent.join(gateway.record!, [this.#next(agent)]))
    if (!this.#ready) return
    const restart =
      (this.#given === 2 && this.#sessions.length === 1) || (this.#given === 5 && this.#sessions.length === 2)
    if (restart) return this.#begin(agent.continue(session, agent.prekey!.oneTime, [this.#next(agent)]))
    const facts = { ready: true, oldestSession: session.secrets.id }
    const gap: UpMessage = {
      kind: 'gap',
      cause: 'age',
      what: { stream: agent.stream, ranges: [{ from: 100, to: 103 }] },
    }
    const messages: UpMessage[] =
      this.#given < READINGS ? [{ ...this.#next(agent), ...facts }] : [agent.empty(facts), gap]
    this.#packets.push({ session, packet: agent.seal(session, ...messages), number: this.#given - 1 })
  }

  #begin(session: AgentSession): void {
    this.#sessions.push(session)
    this.#ready = false
    this.#agent!.prekey = undefined
    // Its sending keys are gone with its process: what is outstanding is sealed again, here into the hello's followers.
    this.#packets.length = 0
    this.#packets.push({ session, packet: session.hello })
    for (const [number, data] of this.#outstanding) {
      if (number < this.#given - 1)
        this.#packets.push({ session, packet: this.#agent!.seal(session, data), number })
    }
  }

  #next(agent: ScriptedAgent): DataMessage {
    const data = agent.reading(this.#given)
    this.#outstanding.set(this.#given++, data)
    return data
  }

  /** Takes what a gateway said. */
  #hear(gateway: CoreHarness): void {
    const packets = gateway.answers()
    for (const packet of packets) this.#sealedOnce(packet)
    const agent = this.#agent
    if (!agent) return
    for (const session of this.#sessions) {
      const messages = agent.read(session, packets)
      for (const message of messages) if (message.kind === 'ack') this.#ack(agent, message)
    }
    if (agent.welcome && agent.prekey) this.#ready = true
  }

  #ack(agent: ScriptedAgent, { streams }: AckMessage): void {
    for (const { stream, through, ranges } of streams) {
      if (hex(stream) !== hex(agent.stream)) continue
      const numbers = [{ from: 0, to: through }, ...ranges]
      if (numbers.some(({ from, to }) => from <= 100 && to >= 103)) this.#gapAcked = true
      for (const number of [...this.#outstanding.keys()]) {
        if (!numbers.some(({ from, to }) => number >= from && number < to)) continue
        this.#acked.add(number)
        this.#outstanding.delete(number)
      }
    }
    this.#acknowledgedIsThere('as it was acknowledged')
  }

  #sealedOnce(packet: Uint8Array): void {
    const leaf = hex(packet.subarray(2, 22))
    const bytes = hex(packet)
    if ((this.#sealed.get(leaf) ?? bytes) !== bytes) this.problems.push(`two packets under leaf ${leaf}`)
    this.#sealed.set(leaf, bytes)
  }

  /** The disk has every reading that an agent was told is safe, whatever happens in the next moment. */
  #acknowledgedIsThere(when: string): void {
    const there = new Set(this.#published())
    for (const number of this.#acked)
      if (!there.has(number)) this.problems.push(`reading ${number} is missing ${when}`)
  }

  #published(): number[] {
    const disk = new CoreHarness(testIdentity(), this.#store.afterPowerCut())
    return disk.outbox().map(({ number }) => number)
  }

  #check(): void {
    if (!this.#done) {
      const left = [...this.#outstanding.keys()].join()
      this.problems.push(`not done: ${this.#given} given, ${left} outstanding, ready ${this.#ready}`)
    }
    this.#acknowledgedIsThere('at the end')
    const numbers = this.#published()
    if (new Set(numbers).size !== numbers.length) this.problems.push(`published twice: ${numbers.join()}`)
    if (this.#gateway.core.agents.all().length !== 1) this.problems.push('more than one agent')
  }
}
