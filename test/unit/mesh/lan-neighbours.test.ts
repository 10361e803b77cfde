import t from 'tap'
import fc from 'fast-check'
import {
  Neighbours,
  lanConstants,
  targetKey,
  type LinkTarget,
  type NeighbourEffect,
  DEFAULT_LAN_LIMITS,
  type LanLimits,
} from '@fieldwhisper/mesh'
import { seededRandom } from '../../support/seeded-random.js'

const { ROTATION_MS, DIAL_BUDGET_MS, HEARD_EXPIRY_MS, HEARD_MAX, OUTGOING_PER_ADDRESS } = lanConstants
const LIMITS = DEFAULT_LAN_LIMITS.agent

interface Setup {
  role?: 'agent' | 'gateway'
  peers?: LinkTarget[]
  remembered?: LinkTarget[]
  seed?: number
  limits?: Partial<LanLimits>
}

/** One device: keeps the clock, carries out dials at once unless told otherwise, and remembers every effect. */
class Device {
  readonly neighbours: Neighbours
  readonly effects: NeighbourEffect[] = []
  readonly open = new Map<number, LinkTarget | undefined>()
  /** What becomes of a dial: a link, a failure, or nothing yet. */
  dialling: 'opens' | 'fails' | 'hangs' = 'opens'
  now = 1_000_000
  #link = 0

  constructor({ role = 'agent', peers = [], remembered = [], seed = 1, limits }: Setup = {}) {
    this.neighbours = new Neighbours({
      role,
      peers,
      remembered,
      now: this.now,
      random: seededRandom(seed),
      ...(limits && { limits: { ...DEFAULT_LAN_LIMITS[role], ...limits } }),
    })
  }

  step(event: Parameters<Neighbours['step']>[0]): NeighbourEffect[] {
    const effects = this.neighbours.step(event, this.now)
    this.effects.push(...effects)
    for (const effect of effects) {
      if (effect.type === 'dial' && this.dialling === 'opens') this.opened(effect.target)
      if (effect.type === 'dial' && this.dialling === 'fails')
        this.step({ type: 'dialFailed', target: effect.target })
      if (effect.type === 'close') this.closed(effect.link)
    }
    return effects
  }

  opened(target: LinkTarget): number {
    const link = ++this.#link
    this.open.set(link, target)
    this.step({ type: 'opened', link, address: target.address, target })
    return link
  }

  cameIn(address: string): number {
    const link = ++this.#link
    this.open.set(link, undefined)
    this.step({ type: 'opened', link, address })
    return link
  }

  closed(link: number): void {
    this.open.delete(link)
    this.step({ type: 'closed', link })
  }

  linkTo(target: LinkTarget): number {
    for (const [link, to] of this.open)
      if (to !== undefined && targetKey(to) === targetKey(target)) return link
    throw new Error(`no link to ${targetKey(target)}`)
  }

  hear(...targets: readonly LinkTarget[]): void {
    for (const target of targets) this.step({ type: 'heard', target, id: targetKey(target), local: false })
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now = Math.min(end, this.now + 250)
      this.step({ type: 'tick' })
    }
  }

  dials(): string[] {
    return this.effects.flatMap((effect) => (effect.type === 'dial' ? [targetKey(effect.target)] : []))
  }

  take<K extends NeighbourEffect['type']>(type: K): Extract<NeighbourEffect, { type: K }>[] {
    const taken = this.effects.filter(
      (effect): effect is Extract<NeighbourEffect, { type: K }> => effect.type === type,
    )
    this.effects.length = 0
    return taken
  }
}

const at = (n: number, port = 24_708): LinkTarget => ({ address: `10.0.${n >> 8}.${n & 0xff}`, port })
const range = (from: number, to: number): LinkTarget[] =>
  Array.from({ length: to - from + 1 }, (_, i) => at(from + i))

void t.test('an address heard is dialled once, within half a second', async (t) => {
  const device = new Device()
  device.hear(at(1))
  t.same(device.dials(), [], 'not at once: others heard the same beacon')
  device.run(500)
  t.same(device.dials(), [targetKey(at(1))])
  device.hear(at(1), at(1))
  device.run(5_000)
  t.equal(device.dials().length, 1)
})

void t.test('an agent has eight outgoing links and no ninth', async (t) => {
  const device = new Device()
  device.hear(...range(1, 30))
  device.run(8_000)
  t.equal(device.open.size, 8)
})

void t.test('outgoingLinks and dialsAtOnce are what was configured, and not one more', async (t) => {
  const device = new Device({ limits: { outgoingLinks: 3, dialsAtOnce: 2 } })
  device.dialling = 'hangs'
  device.hear(...range(1, 30))
  device.run(2_000)
  const under = device.take('dial')
  t.equal(under.length, 2)
  device.dialling = 'opens'
  for (const { target } of under) device.opened(target)
  device.run(8_000)
  t.equal(device.open.size, 3)
})

void t.test('dialBurst and dialsPerSecond are what was configured, and not one more', async (t) => {
  const device = new Device({ role: 'gateway', limits: { dialBurst: 10, dialsPerSecond: 1 } })
  device.hear(...range(1, 200))
  device.run(500)
  t.equal(device.take('dial').length, 10)
  device.run(1_000)
  t.equal(device.take('dial').length, 1)
  device.run(10_000)
  t.equal(device.take('dial').length, 10)
})

void t.test('four dials because of beacons are under way at once', async (t) => {
  const device = new Device()
  device.dialling = 'hangs'
  device.hear(...range(1, 30))
  device.run(2_000)
  t.equal(device.dials().length, 4)
  device.step({ type: 'dialFailed', target: device.take('dial')[0]!.target })
  t.equal(device.dials().length, 1, 'the next one when one has ended')
})

void t.test(
  'a beacon causes one dial per address and minute, whatever its port, and less when nobody answers',
  async (t) => {
    const device = new Device()
    device.dialling = 'fails'
    const times: number[] = []
    const start = device.now
    for (let second = 0; second < 1_800; second++) {
      device.hear(at(1, 5_000 + (second % 7)))
      device.run(1_000)
      for (let i = 0; i < device.take('dial').length; i++) times.push(device.now - start)
    }
    const waits = times.map((time, i) => time - (times[i - 1] ?? 0)).slice(1)
    t.ok(waits.length >= 4, `${waits.length} waits`)
    t.ok(waits[0]! >= DIAL_BUDGET_MS && waits[0]! <= DIAL_BUDGET_MS + 2_000, `first wait ${waits[0]}`)
    for (let i = 2; i < waits.length; i++)
      t.ok(waits[i]! >= waits[i - 1]! - 2_000, `wait ${i} is ${waits[i]}`)
    t.ok(Math.max(...waits) <= 602_000, 'never longer than ten minutes')
  },
)

void t.test('another beacon id ends the back-off of an address, not its minute', async (t) => {
  const device = new Device()
  device.dialling = 'fails'
  for (let minute = 0; minute < 10; minute++) {
    device.hear(at(1))
    device.run(60_000)
  }
  device.take('dial')
  device.step({ type: 'heard', target: at(1), id: 'anew', local: false })
  t.equal(device.take('dial').length, 1)
  device.step({ type: 'heard', target: at(1), id: 'anew again', local: false })
  device.run(59_000)
  t.equal(device.take('dial').length, 0)
})

void t.test('two links lead to one address, on this machine itself one to each program', async (t) => {
  const ports = [1, 2, 3, 4].map((port) => at(1, port))
  const remote = new Device()
  for (let minute = 0; minute < 6; minute++) {
    remote.hear(...ports)
    remote.run(60_000)
  }
  t.equal(remote.open.size, 1, 'a second program may be the same device: not while idle')
  remote.step({ type: 'outstanding', value: true })
  for (let minute = 0; minute < 6; minute++) {
    remote.hear(...ports)
    remote.run(60_000)
  }
  t.equal(remote.open.size, OUTGOING_PER_ADDRESS)
  const local = new Device()
  for (const target of ports) local.step({ type: 'heard', target, id: targetKey(target), local: true })
  local.run(1_000)
  t.equal(local.open.size, 4)
})

void t.test('a flood of forged beacons causes a burst of dials and then five a second', async (t) => {
  const device = new Device()
  device.dialling = 'fails'
  for (let second = 0; second < 60; second++) {
    device.hear(...range(second * 200 + 1, second * 200 + 200))
    device.run(1_000)
  }
  const dials = device.dials().length
  t.ok(dials <= LIMITS.dialBurst + LIMITS.dialsPerSecond * 61, `${dials} dials`)
  t.ok(device.neighbours.heard.addresses <= HEARD_MAX)
})

void t.test(
  'the table of beacons forgets the address longest unheard, and never one with a link',
  async (t) => {
    const device = new Device({ role: 'gateway' })
    device.hear(at(1))
    device.run(500)
    t.equal(device.open.size, 1)
    device.dialling = 'hangs'
    device.hear(...range(2, HEARD_MAX))
    t.equal(device.neighbours.heard.addresses, HEARD_MAX)
    device.hear(at(3))
    device.hear(at(5_000))
    t.equal(device.neighbours.heard.addresses, HEARD_MAX)
    device.take('remember')
    const link = device.cameIn('10.0.0.2')
    device.step({ type: 'acked', link })
    t.same(device.take('remember'), [], '10.0.0.2 was the longest unheard without a link')
    device.step({ type: 'acked', link: device.linkTo(at(1)) })
    t.same(device.neighbours.hints(device.now), [at(1)])
  },
)

void t.test('an address leaves the table after three beacons of the long interval were missed', async (t) => {
  const device = new Device()
  device.dialling = 'hangs'
  device.hear(at(1))
  device.run(HEARD_EXPIRY_MS)
  t.same(device.neighbours.heard, { addresses: 1, devices: 1 })
  device.run(250)
  t.same(device.neighbours.heard, { addresses: 0, devices: 0 })
})

void t.test(
  'addresses with one id count as one device and the second is not dialled while idle',
  async (t) => {
    const device = new Device()
    for (const target of [at(1), { address: 'fe80::1%eth0', port: 24_708 }]) {
      device.step({ type: 'heard', target, id: 'same', local: false })
    }
    device.run(1_000)
    t.same(device.neighbours.heard, { addresses: 2, devices: 1 })
    t.equal(device.open.size, 1)
    device.step({ type: 'outstanding', value: true })
    device.run(ROTATION_MS + 500)
    t.equal(device.open.size, 2, 'a search that found nothing tries it too')
  },
)

void t.test('a device that dialled us is not dialled back while idle', async (t) => {
  const device = new Device({ role: 'gateway' })
  device.cameIn('10.0.0.1')
  device.hear(at(1), at(2))
  device.run(1_000)
  t.same(device.dials(), [targetKey(at(2))])
})

void t.test(
  'searching begins with something outstanding and ends with an ACK, and begins again 60 s after the last',
  async (t) => {
    const device = new Device()
    t.equal(device.neighbours.searching, false)
    device.step({ type: 'outstanding', value: true })
    t.equal(device.neighbours.searching, true)
    device.hear(at(1))
    device.run(500)
    const link = device.linkTo(at(1))
    device.step({ type: 'acked', link })
    t.equal(device.neighbours.searching, false)
    device.run(60_000)
    t.equal(device.neighbours.searching, false)
    device.run(250)
    t.equal(device.neighbours.searching, true)
    device.step({ type: 'outstanding', value: false })
    t.equal(device.neighbours.searching, false)
    device.step({ type: 'outstanding', value: true })
    device.step({ type: 'acked', link })
    device.closed(link)
    t.equal(device.neighbours.searching, true, 'an ACK of a link that broke does not count')
  },
)

void t.test('a gateway never searches', async (t) => {
  const device = new Device({ role: 'gateway' })
  device.step({ type: 'outstanding', value: true })
  t.equal(device.neighbours.searching, false)
})

void t.test(
  'while searching one link gives its slot away every ten seconds, oldest first, until all were tried',
  async (t) => {
    const device = new Device()
    device.step({ type: 'outstanding', value: true })
    device.hear(...range(1, 20))
    device.run(1_000)
    t.equal(device.open.size, 8)
    const first = [...device.open.keys()]
    device.take('dial')
    for (let i = 0; i < 12; i++) {
      device.hear(...range(1, 20))
      device.run(ROTATION_MS)
      t.ok(device.open.size <= 8)
      const closed = device.effects.filter((effect) => effect.type === 'close')
      t.equal(closed.length, i + 1, `after ${(i + 1) * 10} s`)
    }
    t.same(
      device.effects
        .filter((effect) => effect.type === 'close')
        .map((effect) => effect.link)
        .slice(0, 8),
      first,
    )
    t.equal(new Set(device.dials()).size, 12, 'each of the other twelve once')
  },
)

void t.test('the slot is free before it is taken again', async (t) => {
  const device = new Device()
  device.step({ type: 'outstanding', value: true })
  device.hear(...range(1, 9))
  device.run(ROTATION_MS + 2_000)
  const kinds = device.effects.map((effect) => effect.type).filter((type) => type !== 'ask')
  t.same(kinds.slice(-2), ['close', 'dial'])
})

void t.test('nothing is rotated when every address heard has its link', async (t) => {
  const device = new Device()
  device.step({ type: 'outstanding', value: true })
  for (let minute = 0; minute < 5; minute++) {
    device.hear(...range(1, 8))
    device.run(60_000)
  }
  t.equal(device.take('close').length, 0)
})

void t.test('the link that brought an ACK is the last to give its slot', async (t) => {
  const device = new Device()
  device.step({ type: 'outstanding', value: true })
  device.hear(...range(1, 8))
  device.run(1_000)
  const link = device.linkTo(at(3))
  device.step({ type: 'acked', link })
  device.run(60_500)
  for (let i = 0; i < 20; i++) {
    device.hear(...range(1, 40))
    device.run(ROTATION_MS)
  }
  t.ok(device.take('close').length >= 15)
  t.ok(device.open.has(link))
})

void t.test('links that came in and links to peers are never closed', async (t) => {
  const peer = { address: 'gateway.local', port: 24_708 }
  const device = new Device({ peers: [peer] })
  device.step({ type: 'outstanding', value: true })
  const inbound = device.cameIn('10.9.9.9')
  for (let i = 0; i < 20; i++) {
    device.hear(...range(1, 40))
    device.run(ROTATION_MS)
  }
  t.ok(device.open.has(inbound))
  t.ok(device.open.has(device.linkTo(peer)))
  t.equal(device.open.size, 8 + 2, 'a peer takes no slot')
})

void t.test(
  'an agent that found its gateway dials no more strangers, and fills up again when the link breaks',
  async (t) => {
    const device = new Device()
    device.step({ type: 'outstanding', value: true })
    device.hear(at(1))
    device.run(500)
    device.step({ type: 'acked', link: device.linkTo(at(1)) })
    device.hear(...range(2, 20))
    device.run(5_000)
    t.same(device.dials(), [targetKey(at(1))])
    device.dialling = 'hangs'
    device.closed(device.linkTo(at(1)))
    t.same(new Set(device.dials()).size, 1 + 4, 'the redial is at once and beside the four')
  },
)

void t.test('a hinted address is dialled before those heard longer, but only if it was heard', async (t) => {
  const device = new Device({ seed: 7 })
  device.step({ type: 'outstanding', value: true })
  device.hear(...range(1, 40))
  device.run(1_000)
  const linked = new Set(device.dials())
  const hinted = range(1, 40).find((target) => !linked.has(targetKey(target)))!
  device.take('dial')
  device.step({ type: 'hinted', targets: [at(99), hinted] })
  t.same(device.dials(), [], 'a hint dials nothing by itself')
  device.run(ROTATION_MS)
  t.same(device.dials(), [targetKey(hinted)])
})

void t.test('who lies in hints takes every second turn at most', async (t) => {
  const device = new Device()
  device.step({ type: 'outstanding', value: true })
  device.hear(...range(1, 60))
  device.run(1_000)
  device.take('dial')
  for (let i = 0; i < 40; i++) {
    device.hear(...range(1, 60))
    device.step({ type: 'hinted', targets: range(1, 24) })
    device.run(ROTATION_MS)
  }
  const honest = new Set(
    device.dials().filter((key) => !range(1, 24).some((target) => targetKey(target) === key)),
  )
  t.ok(honest.size >= 18, `${honest.size} addresses that nobody named were tried`)
})

void t.test(
  'while searching, links are asked on opening, every five seconds in the first minute, then every minute',
  async (t) => {
    const device = new Device()
    const asks = (): number => device.take('ask').length
    device.cameIn('10.0.0.1')
    t.equal(asks(), 0, 'not while idle')
    device.step({ type: 'outstanding', value: true })
    t.equal(asks(), 1)
    device.cameIn('10.0.0.2')
    t.equal(asks(), 1)
    device.run(59_000)
    const first = asks()
    t.ok(first >= 20 && first <= 24, `${first} questions on two links in the first minute`)
    device.run(300_000)
    const later = asks()
    t.ok(later >= 8 && later <= 12, `${later} questions on two links in five minutes`)
  },
)

void t.test('peers are dialled at once and for ever, after 1 to 10 s, later up to 60 s', async (t) => {
  const device = new Device({ peers: [at(1), at(2)] })
  device.dialling = 'fails'
  device.step({ type: 'tick' })
  t.same(
    device.take('dial').map(({ target }) => target),
    [at(1), at(2)],
  )
  device.run(11_000)
  const early = device.take('dial').length
  t.ok(early >= 2, `${early} dials in 11 s`)
  device.run(600_000)
  device.take('dial')
  device.run(600_000)
  const late = device.take('dial').length
  t.ok(late >= 20, `${late} dials to two peers in ten minutes`)
  t.ok(late <= 140, `${late} dials to two peers in ten minutes`)
})

void t.test(
  'an address that brought ACKs is kept, redialled at once when it breaks, then every 1 to 10 s',
  async (t) => {
    const device = new Device()
    device.step({ type: 'outstanding', value: true })
    device.hear(at(1), at(2))
    device.run(500)
    device.take('dial')
    const link = device.linkTo(at(1))
    device.step({ type: 'acked', link })
    device.step({ type: 'acked', link })
    t.same(device.take('remember'), [{ type: 'remember', targets: [at(1)] }], 'told once')
    device.dialling = 'fails'
    device.closed(link)
    t.same(device.dials(), [targetKey(at(1))])
    device.run(100_000)
    const dials = device.dials().length
    t.ok(dials >= 10 && dials <= 101, `${dials} dials in 100 s`)
    device.dialling = 'opens'
    device.run(10_000)
    t.ok(device.linkTo(at(1)) > 0)
  },
)

void t.test(
  'a break of the gateway that dialled us is mended from here, at the port its beacon announced',
  async (t) => {
    const device = new Device()
    device.dialling = 'fails'
    device.hear(at(1, 3_333))
    const link = device.cameIn('10.0.0.1')
    device.step({ type: 'acked', link })
    t.same(device.take('remember'), [{ type: 'remember', targets: [at(1, 3_333)] }])
    device.run(1_000)
    t.same(device.dials(), [], 'not while its own link stands')
    device.closed(link)
    t.same(device.dials(), [targetKey(at(1, 3_333))])
  },
)

void t.test('a kept address has its slot, even when it was the gateway that had dialled', async (t) => {
  const device = new Device()
  const link = device.cameIn('10.0.0.99')
  device.hear(...range(1, 20))
  device.run(2_000)
  t.equal(device.open.size, 1 + 8)
  device.hear(at(99))
  device.step({ type: 'acked', link })
  t.equal(device.take('close').length, 0, 'not while its own link stands')
  device.closed(link)
  t.equal(device.take('close').length, 1)
  t.equal(device.open.size, 8)
  t.ok(device.linkTo(at(99)) > 0)
})

void t.test(
  'remembered addresses are dialled first after a start, outside the budget of beacons',
  async (t) => {
    const device = new Device({ remembered: [at(1)], peers: [at(2)] })
    device.dialling = 'hangs'
    device.step({ type: 'tick' })
    t.same(device.dials(), [targetKey(at(1)), targetKey(at(2))])
    device.hear(at(1), ...range(3, 20))
    device.run(500)
    t.equal(device.dials().length, 2 + 4)
  },
)

void t.test(
  'four kept addresses at most, and a silent one leaves when another has answered for ten minutes',
  async (t) => {
    const device = new Device()
    device.hear(...range(1, 6))
    device.run(500)
    for (let n = 1; n <= 6; n++) {
      device.now += 1_000
      device.step({ type: 'acked', link: device.linkTo(at(n)) })
    }
    t.same(device.take('remember').at(-1)?.targets.length, 4)
    t.same(device.neighbours.hints(device.now), [at(6), at(5), at(4), at(3)])
    device.run(600_500)
    t.same(device.neighbours.hints(device.now), [])
    device.step({ type: 'acked', link: device.linkTo(at(6)) })
    t.same(device.take('remember'), [{ type: 'remember', targets: [at(6)] }])
  },
)

void t.test('a network that changed hurries what waited for a road', async (t) => {
  const device = new Device({ peers: [at(1)] })
  device.dialling = 'fails'
  device.run(300_000)
  device.take('dial')
  device.step({ type: 'networkChanged' })
  t.same(device.dials(), [targetKey(at(1))])
})

void t.test(
  'whatever happens in whatever order, the limits hold and effects are about what exists',
  async () => {
    const target = fc.integer({ min: 1, max: 12 }).map((n) => at(n, 1_000 + (n % 3)))
    const event = fc.oneof(
      fc.record({ kind: fc.constant('hear' as const), target, local: fc.boolean() }),
      fc.record({ kind: fc.constant('open' as const), pick: fc.nat() }),
      fc.record({ kind: fc.constant('fail' as const), pick: fc.nat() }),
      fc.record({ kind: fc.constant('cameIn' as const), target }),
      fc.record({ kind: fc.constant('close' as const), pick: fc.nat() }),
      fc.record({ kind: fc.constant('ack' as const), pick: fc.nat() }),
      fc.record({ kind: fc.constant('hint' as const), target }),
      fc.record({ kind: fc.constant('outstanding' as const), value: fc.boolean() }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
    )
    fc.assert(
      fc.property(fc.array(event, { maxLength: 120 }), fc.integer(), (events, seed) => {
        const peers = [at(1, 1_001)]
        const device = new Device({ seed, peers, remembered: [at(2, 1_002)] })
        device.dialling = 'hangs'
        const pending: LinkTarget[] = []
        const mine = new Set<number>()
        const pick = <T>(list: readonly T[], n: number): T | undefined => list[n % Math.max(1, list.length)]
        for (const one of events) {
          if (one.kind === 'hear')
            device.step({ type: 'heard', target: one.target, id: 'x', local: one.local })
          if (one.kind === 'cameIn') device.cameIn(one.target.address)
          if (one.kind === 'hint') device.step({ type: 'hinted', targets: [one.target] })
          if (one.kind === 'outstanding') device.step({ type: 'outstanding', value: one.value })
          if (one.kind === 'wait') device.run(one.ms)
          if (one.kind === 'close') device.closed(pick([...device.open.keys()], one.pick) ?? -1)
          if (one.kind === 'ack')
            device.step({ type: 'acked', link: pick([...device.open.keys()], one.pick) ?? -1 })
          for (const { target: dialled } of device.effects.filter((effect) => effect.type === 'dial')) {
            if (pending.some((other) => targetKey(other) === targetKey(dialled))) return false
            pending.push(dialled)
          }
          for (const effect of device.effects)
            if (effect.type === 'close' && !mine.has(effect.link)) return false
          device.effects.length = 0
          if (one.kind === 'open' || one.kind === 'fail') {
            const chosen = pending.splice(one.pick % Math.max(1, pending.length), 1)[0]
            if (chosen !== undefined && one.kind === 'open') mine.add(device.opened(chosen))
            else if (chosen !== undefined) device.step({ type: 'dialFailed', target: chosen })
          }
          const outgoing = [...device.open.values()].filter((to) => to !== undefined)
          if (outgoing.length > 8 + peers.length) return false
          if (new Set(outgoing.map(targetKey)).size !== outgoing.length) return false
        }
        return true
      }),
      { numRuns: 300 },
    )
  },
)
