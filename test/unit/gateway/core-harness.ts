import { createMemoryStore, type MemoryStore } from '@fieldwhisper/host/testing'
import { crypto, hex, openHello, signGatewayCertificate, type AddressKey } from '@fieldwhisper/protocol'
import {
  CORE_TABLES,
  GatewayCore,
  type GatewayIdentity,
  type HelloJob,
  Meta,
  type Ports,
} from '@fieldwhisper/gateway/core'
import { DEFAULT_CORE_LIMITS, type CoreLimits } from '../../../gateway/src/core/limits.js'
import { BRIDGE_TABLES, decodeItem, OUTBOX_TABLE, type OutboxEntry } from '@fieldwhisper/gateway/core'
import { seededRandom } from '../../support/seeded-random.js'

export function testIdentity(seed = 1): GatewayIdentity {
  const random = seededRandom(seed)
  const siteSeed = random(32)
  const signingSeed = random(32)
  const agreementSecret = random(32)
  const certificate = signGatewayCertificate(crypto.signingKey(siteSeed), {
    number: 1,
    signingKey: crypto.signingKey(signingSeed).publicKey,
    agreementKey: crypto.agreementKey(agreementSecret).publicKey,
  })
  return { siteName: 'test', siteSeed, signingSeed, agreementSecret, master: random(32), certificate }
}

/** A gateway core on a store in memory, a clock that a test moves, and the sockets replaced by lists. */
export class CoreHarness {
  now = 1_000
  outboxFull = false
  /** 'spent': it was there and was needed. */
  ballast: 'none' | 'whole' | 'spent' = 'none'
  readonly store: MemoryStore
  readonly sent: { readonly link: number; readonly packet: Uint8Array }[] = []
  readonly deposited: Uint8Array[] = []
  readonly discarded: string[] = []
  readonly renewed: number[] = []
  readonly held = new Map<string, AddressKey>()
  readonly events: { readonly code: string; readonly fields: unknown }[] = []
  readonly jobs: HelloJob[] = []
  /** Every hello that came to the worker. */
  readonly opened: HelloJob[] = []
  /** A test that does not expect the core to end is ended by it. */
  onFatal: (error: unknown) => void = (error) => {
    throw error
  }
  /** False: hellos wait in `jobs` until `work` is called. */
  workAtOnce = true
  record: Uint8Array | undefined
  core: GatewayCore
  readonly #identity: GatewayIdentity
  readonly #limits: CoreLimits
  #sequence = 0

  constructor(identity = testIdentity(), store?: MemoryStore, limits: Partial<CoreLimits> = {}) {
    this.#identity = identity
    this.#limits = { ...DEFAULT_CORE_LIMITS, ...limits }
    this.store = store ?? createMemoryStore({ tables: [...CORE_TABLES, ...BRIDGE_TABLES] })
    // No test deletes from the outbox.
    this.#sequence = [...this.store.range(OUTBOX_TABLE)].length
    this.core = this.#make(2)
  }

  /** With what `gateway init` stores. */
  static async begin(limits: Partial<CoreLimits> = {}): Promise<CoreHarness> {
    const store = createMemoryStore({ tables: [...CORE_TABLES, ...BRIDGE_TABLES] })
    await store.commit([Meta.initialWrite()])
    const harness = new CoreHarness(testIdentity(), store, limits)
    await harness.tick(0)
    return harness
  }

  /** A new process on the same disk. */
  restart(seed = 3): void {
    this.held.clear()
    this.core = this.#make(seed)
  }

  async settle(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      await this.core.settled()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async tick(ms: number): Promise<void> {
    this.now += ms
    this.core.tick()
    await this.settle()
  }

  async link(link: number, ...packets: readonly Uint8Array[]): Promise<void> {
    for (const packet of packets) this.core.packet({ via: 'link', id: link }, packet)
    await this.settle()
  }

  async relay(...packets: readonly Uint8Array[]): Promise<void> {
    for (const packet of packets) this.core.packet({ via: 'relay', id: 0 }, packet)
    await this.settle()
  }

  work(): void {
    for (const job of this.jobs.splice(0)) this.#work(job)
  }

  /** Packets sent by link and relay since the last call, each once. */
  answers(): Uint8Array[] {
    const seen = new Map<string, Uint8Array>()
    for (const { packet } of this.sent.splice(0)) seen.set(hex(packet), packet)
    for (const packet of this.deposited.splice(0)) seen.set(hex(packet), packet)
    return [...seen.values()]
  }

  outbox(): OutboxEntry[] {
    const entries: OutboxEntry[] = []
    for (const { value } of this.store.range(OUTBOX_TABLE)) {
      const item = decodeItem(value)
      if (item.kind === 'readings') entries.push(item.entry)
    }
    return entries
  }

  codes(): string[] {
    return this.events.map(({ code }) => code)
  }

  #make(seed: number): GatewayCore {
    const ports: Ports = {
      send: (link, packet) => this.sent.push({ link, packet }) > 0,
      deposit: (packet) => void this.deposited.push(packet),
      discard: (_relay, _address, hash) => void this.discarded.push(hex(hash)),
      renew: (relay) => void this.renewed.push(relay),
      hold: (key) => void this.held.set(hex(key.address), key),
      release: (key) => void this.held.delete(hex(key.address)),
      publish: (record) => (this.record = record),
      openHello: (job) => {
        this.opened.push(job)
        if (this.workAtOnce) queueMicrotask(() => this.#work(job))
        else this.jobs.push(job)
      },
      useful: () => undefined,
      agentGone: () => undefined,
      committed: () => undefined,
      fatal: (error) => this.onFatal(error),
      report: (_level, code, _message, fields) => void this.events.push({ code, fields }),
    }
    return new GatewayCore({
      store: this.store,
      identity: this.#identity,
      ports,
      clock: {
        monoMs: () => this.now,
        wallMs: () => 1.7e12 + this.now,
        quality: () => 'synchronised',
        bootId: new Uint8Array(8),
      },
      random: seededRandom(seed),
      running: () => this.now,
      nextSequence: () => this.#sequence++,
      noRoom: () => (this.ballast === 'spent' ? 'disk' : this.outboxFull ? 'outbox-full' : undefined),
      freeBallast: () => {
        const whole = this.ballast === 'whole'
        if (whole) this.ballast = 'spent'
        return whole
      },
      relays: [{ url: 'ws://relay.test:24780' }],
      limits: this.#limits,
    })
  }

  #work(job: HelloJob): void {
    const opened = openHello(job.packet, job.secrets)
    this.core.helloOpened({
      id: job.id,
      ...(opened && { opened }),
      agreementKey: opened ? crypto.agreementKey(job.oneTime.prekeySecret).publicKey : new Uint8Array(0),
      kemKey: opened ? crypto.kem.publicKey(job.oneTime.kemSeed) : new Uint8Array(0),
    })
  }
}
