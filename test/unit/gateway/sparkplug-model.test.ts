import fc from 'fast-check'
import t from 'tap'
import type { EdgeEffect, EdgeMessage } from '../../../gateway/src/sparkplug/events.js'
import type { EdgeReading } from '../../../gateway/src/sparkplug/values.js'
import { ModelHost } from '../../support/sparkplug-host.js'
import { Bench, WALL_MS } from './sparkplug-support.js'

const AGENTS = ['pump', 'Pump', 'fan/1']
const NAMES = ['temp', 'state', 'on']
const STATE = 'spBv1.0/STATE/scada'

interface Stored {
  readonly position: number
  readonly agent: string
  readonly historical: boolean
  readonly readings: readonly EdgeReading[]
}

/** What was put on the wire and has not arrived: a publish, or the DISCONNECT. */
type OnWire = (EdgeMessage & { readonly fence?: number }) | 'disconnect'

/**
 * An edge node with an outbox before it and a host behind it. The wire keeps order; when it breaks, what was on it is gone,
 * and the broker says the will unless a DISCONNECT had arrived.
 */
class Site {
  readonly bench: Bench
  readonly host = new ModelHost()
  readonly outbox: Stored[] = []
  readonly #withHost: boolean
  #wire: OnWire[] = []
  #will: EdgeMessage | undefined
  #mark = 0
  #read = 0
  #stamp = 0
  #hostMs = 1
  wakeAt: number | undefined

  constructor(withHost: boolean) {
    this.#withHost = withHost
    this.bench = new Bench(withHost ? { hostId: 'scada' } : {})
  }

  get delivered(): boolean {
    return this.#mark === this.outbox.length
  }

  commit(agent: string, historical: boolean, shapes: readonly (readonly [number, number, number])[]): void {
    const readings = shapes.map(([name, kind, back]): EdgeReading => {
      this.#stamp += 1
      const stamp = this.#stamp
      const value = [stamp, `s${stamp}`, stamp % 2 === 0, NaN][kind]!
      // The last four digits make every time its own.
      return { name: NAMES[name]!, value, quality: 'good', timeMs: WALL_MS - (50 + back) * 10_000 + stamp }
    })
    const position = this.outbox.length + 1
    this.outbox.push({ position, agent, historical, readings })
    this.#do(this.bench.do({ kind: 'committed', position }))
  }

  connect(): void {
    if (this.bench.node.phase !== 'idle') return
    this.#do(this.bench.do({ kind: 'dial' }))
    this.#will = this.bench.will
    this.#read = this.#mark
    this.#do(this.bench.do({ kind: 'connected' }))
  }

  /** The broker hears nothing more of this connection. */
  break(): void {
    if (this.#will) this.host.hear(this.#will.topic, this.#will.payload)
    this.#ended()
  }

  /** Hands over what the node takes. */
  pump(most: number): void {
    for (let i = 0; i < most && this.bench.node.ready; i += 1) {
      const next = this.outbox[this.#read]
      if (!next) return this.#do(this.bench.do({ kind: 'idle' }))
      this.#read += 1
      this.#do(this.bench.do({ kind: 'batch', ...next }))
    }
  }

  deliver(most: number): void {
    for (let i = 0; i < most; i += 1) {
      const message = this.#wire.shift()
      if (!message) return
      if (message === 'disconnect') return this.#ended()
      this.host.hear(message.topic, message.payload)
      if (message.fence !== undefined) this.#do(this.bench.do({ kind: 'fenced', fence: message.fence }))
    }
  }

  rebirth(): void {
    if (this.#will) this.#do(this.bench.rebirth())
  }

  hostState(online: boolean): void {
    if (!this.#withHost || !this.#will) return
    this.#hostMs += 1
    this.#do(this.bench.say(STATE, JSON.stringify({ online, timestamp: this.#hostMs })))
  }

  agent(agent: string, what: 'here' | 'gone' | 'revoked'): void {
    if (what === 'here') this.#do(this.bench.do({ kind: 'agentHere', agent }))
    else this.#do(this.bench.do({ kind: 'agentGone', agent, revoked: what === 'revoked' }))
  }

  later(ms: number): void {
    this.bench.later(ms)
    if (this.wakeAt === undefined || this.bench.now.monoMs < this.wakeAt) return
    this.wakeAt = undefined
    this.#do(this.bench.do({ kind: 'wake' }))
  }

  /** Everything works from now on. */
  heal(): void {
    for (let i = 0; i < 2_000 && !this.delivered; i += 1) {
      this.connect()
      this.hostState(true)
      this.pump(50)
      this.deliver(500)
      this.later(1_000)
    }
    this.pump(1)
    this.deliver(500)
  }

  #ended(): void {
    this.#will = undefined
    this.#wire = []
    this.#do(this.bench.do({ kind: 'disconnected' }))
  }

  #do(effects: readonly EdgeEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'publish') this.#wire.push(effect)
      else if (effect.kind === 'disconnect') this.#wire.push('disconnect')
      else if (effect.kind === 'through') {
        if (effect.position <= this.#mark)
          throw new Error(`the mark goes from ${this.#mark} to ${effect.position}`)
        this.#mark = effect.position
      } else if (effect.kind === 'wake') this.wakeAt = this.bench.now.monoMs + effect.inMs
    }
  }
}

const agent = fc.constantFrom(...AGENTS)
const shapes = fc.array(fc.tuple(fc.nat(NAMES.length - 1), fc.nat(3), fc.nat(2)), { maxLength: 6 })
/** A message or two, and at times more than a window. */
const few = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 4 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 90 }) },
)
const bulk = (site: Site): void => {
  for (let i = 0; i < 70; i += 1) site.commit(AGENTS[i % 3]!, false, [[i % 3, 0, 0]])
}
const step = fc.oneof(
  { weight: 1, arbitrary: fc.constant(bulk) },
  {
    weight: 6,
    arbitrary: fc.tuple(agent, fc.boolean(), shapes).map((args) => (site: Site) => site.commit(...args)),
  },
  { weight: 6, arbitrary: few.map((most) => (site: Site) => site.pump(most)) },
  { weight: 6, arbitrary: few.map((most) => (site: Site) => site.deliver(most)) },
  { weight: 3, arbitrary: fc.constant((site: Site) => site.connect()) },
  { weight: 2, arbitrary: fc.constant((site: Site) => site.break()) },
  { weight: 1, arbitrary: fc.constant((site: Site) => site.rebirth()) },
  { weight: 2, arbitrary: fc.boolean().map((online) => (site: Site) => site.hostState(online)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(agent, fc.constantFrom('here' as const, 'gone' as const, 'revoked' as const))
      .map((args) => (site: Site) => site.agent(...args)),
  },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 3_000 }).map((ms) => (site: Site) => site.later(ms)) },
)

void t.test(
  'whatever happens, a host knows every alias, misses no seq, sees no data before a birth, and has every reading at last',
  (t) => {
    const seen = { values: 0, historical: 0, births: 0 }
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 120, size: 'max' }), (withHost, steps) => {
        const site = new Site(withHost)
        for (const run of steps) {
          run(site)
          if (site.host.problems.length > 0) throw new Error(site.host.problems.join('\n'))
        }
        site.heal()
        if (site.host.problems.length > 0) throw new Error(site.host.problems.join('\n'))
        if (!site.delivered) throw new Error('the outbox did not drain')
        const heard = new Set(site.host.values.map(({ name, timeMs }) => `${name} ${timeMs}`))
        const missing = site.outbox
          .flatMap(({ readings }) => readings)
          .filter(({ name, timeMs }) => !heard.has(`${name} ${timeMs}`))
        if (missing.length > 0) throw new Error(`${missing.length} readings never came`)
        seen.values += site.host.values.length
        seen.historical += site.host.values.filter(({ historical }) => historical).length
        seen.births += site.host.bdSeq ?? 0
      }),
      { numRuns: 400 },
    )
    t.ok(seen.values > 1_000, `${seen.values} values`)
    t.ok(seen.historical > 100 && seen.historical < seen.values, `${seen.historical} of them historical`)
    t.ok(seen.births > 100, `${seen.births} connections`)
    t.end()
  },
)

void t.test('the host of this test notices what a wrong node would say', (t) => {
  const noticed = (spoil: (messages: EdgeMessage[]) => EdgeMessage[]): string[] => {
    const bench = new Bench()
    const host = new ModelHost()
    const effects = [
      ...bench.connect(),
      ...bench.batch('pump', [{ name: 'temp', value: 1, quality: 'good', timeMs: WALL_MS }]),
      ...bench.batch('pump', [{ name: 'temp', value: 2, quality: 'good', timeMs: WALL_MS }]),
    ]
    const messages = effects.filter((effect) => effect.kind === 'publish')
    for (const { topic, payload } of spoil(messages)) host.hear(topic, payload)
    return host.problems
  }
  t.same(
    noticed((all) => all),
    [],
  )
  t.match(
    noticed(([node, , ...rest]) => [node!, ...rest]),
    [/has seq 2 instead of 1/, /before the birth/],
  )
  t.match(
    noticed(([node, birth, , last]) => [node!, birth!, last!]),
    [/has seq 3 instead of 2/],
  )
  t.match(
    noticed(([, ...rest]) => rest),
    [/not born/],
  )
  t.match(
    noticed(([node, birth, data]) => [node!, { ...birth!, topic: `${birth!.topic}2` }, data!]),
    [/before the birth/],
  )
  t.end()
})
