import t, { type Test } from 'tap'
import { createSocket } from 'node:dgram'
import { networkInterfaces, type NetworkInterfaceInfo } from 'node:os'
import {
  BeaconSocket,
  decodeBeacon,
  encodeBeacon,
  lanConstants,
  type BeaconSocketOptions,
  type HeardBeacon,
  beaconWait,
} from '@fieldwhisper/mesh'
import { seededRandom } from '../../support/seeded-random.js'
import { until } from '../../support/until.js'
import { Inbox, nothingOpen } from './lan-ends.js'

const GROUPS = { ipv4: '239.255.70.87', ipv6: 'ff02::4657:1' }

/** A free UDP port: each test has its own group of programs. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  return port
}

let seed = 0

/** One program on the loopback interface, with what it heard and said. */
class Program {
  readonly heard = new Inbox<HeardBeacon>()
  readonly changes: string[][] = []
  readonly reports: { code: string; fields: unknown }[] = []
  readonly socket: BeaconSocket
  skipMs = 0
  /** When set, the clock stands still. */
  frozenMs: number | undefined
  linkPort: number | undefined

  constructor(port: number, linkPort: number | undefined, options: Partial<BeaconSocketOptions> = {}) {
    this.linkPort = linkPort
    this.socket = new BeaconSocket({
      names: ['lo'],
      port,
      groups: GROUPS,
      broadcast: false,
      linkPort: () => this.linkPort,
      devices: () => 0,
      heard: (beacon) => this.heard.push(beacon),
      changed: (interfaces) => this.changes.push(interfaces.map(({ name }) => name)),
      reporter: { event: (_level, code, _message, fields) => this.reports.push({ code, fields }) },
      random: seededRandom(++seed),
      now: () => this.frozenMs ?? performance.now() + this.skipMs,
      ...options,
    })
  }

  start(t: Test): this {
    t.teardown(() => this.socket.stop())
    this.socket.start()
    return this
  }
}

/** Sends datagrams to the group on loopback, as anybody on this machine can. */
async function shout(port: number, datagrams: readonly Uint8Array[]): Promise<void> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  socket.setMulticastInterface('127.0.0.1')
  for (const datagram of datagrams) {
    await new Promise<void>((resolve, reject) =>
      socket.send(datagram, port, GROUPS.ipv4, (error) => (error === null ? resolve() : reject(error))),
    )
  }
  await new Promise<void>((resolve) => socket.close(resolve))
}

const beacon = (n: number, port = 5_000): Uint8Array => {
  const id = new Uint8Array(8)
  new DataView(id.buffer).setUint32(0, n)
  return encodeBeacon({ id, port }, new Uint8Array(16))
}

void t.test('programs of one machine share the port, hear each other, and never themselves', async (t) => {
  const port = await freePort()
  const [a, b, c] = [1_001, 1_002, 1_003].map((link) => new Program(port, link).start(t)) as [
    Program,
    Program,
    Program,
  ]
  for (const [program, others] of [
    [a, [1_002, 1_003]],
    [b, [1_001, 1_003]],
    [c, [1_001, 1_002]],
  ] as const) {
    for (const other of others) {
      const heard = await program.heard.until(({ target }) => target.port === other)
      t.same(
        { ...heard, id: heard.id.length },
        { target: { address: '127.0.0.1', port: other }, id: 16, local: true },
      )
    }
  }
  const own = [a, b, c].map(
    (program, i) => program.heard.all.filter(({ target }) => target.port === 1_001 + i).length,
  )
  t.same(own, [0, 0, 0])
  t.ok(a.socket.counts.own > 0)
  t.same(a.reports, [])
})

void t.test('beaconIntervalMs is kept give or take a fifth, above twenty devices 30 s are', (t) => {
  const wait = (lot: number, devices: number, burst = 0, intervalMs = 2_000): number =>
    Math.round(beaconWait({ burst, devices, intervalMs, random: (n) => new Uint8Array(n).fill(lot) }))
  t.same([wait(0, 20), wait(255, 20)], [1_600, 2_400])
  t.same([wait(0, 21), wait(255, 21)], [24_000, 36_000])
  t.same([wait(0, 0, 1), wait(255, 0, 1)], [800, 1_200], 'quick ones are not concerned')
  t.end()
})

void t.test('three quick beacons at the start, all with one id', async (t) => {
  const port = await freePort()
  const listener = new Program(port, undefined).start(t)
  const started = performance.now()
  new Program(port, 1_001).start(t)
  await listener.heard.until(() => listener.heard.all.length >= 3)
  t.ok(performance.now() - started < 4_000)
  t.equal(new Set(listener.heard.all.map(({ id }) => id)).size, 1)
})

void t.test('a program without a link port announces nothing, and begins when it has one', async (t) => {
  const port = await freePort()
  const listener = new Program(port, undefined).start(t)
  const other = new Program(port, 1_009).start(t)
  await listener.heard.until(() => true)
  t.same(other.heard.all, [])
  listener.linkPort = 1_001
  listener.socket.announce()
  await other.heard.until(({ target }) => target.port === 1_001)
})

void t.test(
  'the id is drawn anew after fifteen minutes, and the old one is still known as its own',
  async (t) => {
    const port = await freePort()
    const listener = new Program(port, undefined).start(t)
    const speaker = new Program(port, 1_001).start(t)
    const first = await listener.heard.until(() => true)
    speaker.skipMs = lanConstants.BEACON_ID_LIFE_MS
    speaker.socket.announce()
    const second = await listener.heard.until(({ id }) => id !== first.id)
    t.equal(second.target.port, 1_001)
    const own = speaker.socket.counts.own
    await shout(port, [encodeBeacon({ id: Buffer.from(first.id, 'hex'), port: 9 }, new Uint8Array(16))])
    await listener.heard.until(({ target }) => target.port === 9)
    await until(() => speaker.socket.counts.own > own, { withinMs: 5_000, what: 'its old id to be known' })
    t.same(speaker.heard.all, [])
  },
)

void t.test('what is no beacon is counted by its fault and heard by nobody', async (t) => {
  const port = await freePort()
  const program = new Program(port, undefined).start(t)
  const speaker = new Program(port, 1_001).start(t)
  await program.heard.until(() => true)
  await speaker.socket.stop()
  const good = beacon(1)
  const otherVersion = Uint8Array.from(good)
  otherVersion[4] = 2
  const portless = Uint8Array.from(good)
  portless.fill(0, 13, 15)
  await shout(port, [
    good.subarray(0, 30),
    Buffer.concat([good, good]),
    Buffer.alloc(31),
    otherVersion,
    portless,
    beacon(2, 7_777),
  ])
  await program.heard.until(({ target }) => target.port === 7_777)
  const { length, magic, version, port: noPort } = program.socket.counts
  t.same({ length, magic, version, noPort }, { length: 2, magic: 1, version: 1, noPort: 1 })
})

void t.test(
  'two hundred datagrams a second are looked at, the next ones when the second is over',
  async (t) => {
    const port = await freePort()
    const program = new Program(port, undefined).start(t)
    const speaker = new Program(port, 1_001).start(t)
    await program.heard.until(() => true)
    await speaker.socket.stop()
    program.frozenMs = performance.now() + 2_000
    const before = program.heard.all.length
    await shout(
      port,
      Array.from({ length: lanConstants.BEACONS_PER_SECOND + 30 }, (_, i) => beacon(i, 2_000 + i)),
    )
    // More at once would not fit the socket's buffer.
    await until(() => program.socket.counts.unread === 30, { withinMs: 5_000, what: 'all datagrams' })
    t.equal(program.heard.all.length - before, 200)
    program.frozenMs += 1_001
    await shout(port, [beacon(1, 9_999)])
    await program.heard.until(({ target }) => target.port === 9_999)
  },
)

void t.test('a source that is not on a chosen interface is counted and not believed', async (t) => {
  const port = await freePort()
  const strange: NetworkInterfaceInfo = {
    ...networkInterfaces()['lo']![0]!,
    address: '127.0.0.1',
    netmask: '255.255.255.255',
  }
  const program = new Program(port, undefined, { listInterfaces: () => ({ lo: [strange] }) }).start(t)
  const elsewhere = createSocket('udp4')
  await new Promise<void>((resolve) => elsewhere.bind(0, '127.9.9.9', resolve))
  elsewhere.setMulticastInterface('127.0.0.1')
  const speaker = new Program(port, 1_001).start(t)
  await program.heard.until(() => true)
  await new Promise<void>((resolve) => elsewhere.send(beacon(1, 6_666), port, GROUPS.ipv4, () => resolve()))
  await speaker.heard.until(({ target }) => target.port === 6_666 && target.address === '127.9.9.9')
  t.equal(
    program.heard.all.some(({ target }) => target.port === 6_666),
    false,
  )
  t.equal(program.socket.counts.offLink, 1)
  await new Promise<void>((resolve) => elsewhere.close(resolve))
})

void t.test('an echo of our own port under another id is not heard', async (t) => {
  const port = await freePort()
  const program = new Program(port, 1_001).start(t)
  const other = new Program(port, 1_002).start(t)
  await program.heard.until(() => true)
  await shout(port, [beacon(1, 1_001), beacon(2, 1_003)])
  await program.heard.until(({ target }) => target.port === 1_003)
  t.equal(
    program.heard.all.some(({ target }) => target.port === 1_001),
    false,
  )
  await other.heard.until(({ target }) => target.port === 1_001)
})

void t.test('an interface that fails is reported and does not keep another from working', async (t) => {
  const port = await freePort()
  const ghost = [
    {
      address: '203.0.113.7',
      netmask: '255.255.255.0',
      family: 'IPv4',
      mac: '02:00:00:00:00:01',
      internal: false,
      cidr: '203.0.113.7/24',
    },
  ] as NetworkInterfaceInfo[]
  const table = (): NodeJS.Dict<NetworkInterfaceInfo[]> => ({ ghost0: ghost, lo: networkInterfaces()['lo'] })
  const program = new Program(port, 1_001, {
    names: ['ghost0', 'lo'],
    listInterfaces: table,
    pollMs: 50,
  }).start(t)
  const other = new Program(port, 1_002).start(t)
  await other.heard.until(({ target }) => target.port === 1_001)
  await program.heard.until(({ target }) => target.port === 1_002)
  const failed = program.reports.filter(({ code }) => code === 'FW_LAN_INTERFACE_FAILED')
  t.ok(failed.length >= 1)
  for (const { fields } of failed) t.match(fields, { interface: 'ghost0' })
})

void t.test(
  'an interface that comes later is used and announced on, and one that goes is left',
  async (t) => {
    const port = await freePort()
    let table: NodeJS.Dict<NetworkInterfaceInfo[]> = {}
    const program = new Program(port, 1_001, { listInterfaces: () => table, pollMs: 30 }).start(t)
    const other = new Program(port, 1_002).start(t)
    t.same(
      program.reports.map(({ code }) => code),
      ['FW_LAN_NO_INTERFACE'],
    )
    table = { lo: networkInterfaces()['lo'] }
    await other.heard.until(({ target }) => target.port === 1_001)
    await program.heard.until(({ target }) => target.port === 1_002)
    table = {}
    await until(() => program.changes.at(-1)?.length === 0, {
      withinMs: 5_000,
      what: 'the end of the interface',
    })
    t.same(program.changes, [['lo'], []])
    const heard = other.heard.all.length
    program.socket.announce()
    await shout(port, [beacon(1, 8_888)])
    await other.heard.until(({ target }) => target.port === 8_888)
    t.ok(other.heard.all.length - heard >= 1)
    t.equal(program.reports.filter(({ code }) => code === 'FW_LAN_NO_INTERFACE').length, 2)
  },
)

void t.test(
  'a port that another program does not share is reported, and used when that program ends',
  async (t) => {
    const selfish = createSocket({ type: 'udp4', reuseAddr: false })
    await new Promise<void>((resolve) => selfish.bind(0, resolve))
    const { port } = selfish.address()
    const program = new Program(port, undefined, { pollMs: 30 }).start(t)
    const reported = (): boolean => program.reports.some(({ code }) => code === 'FW_LAN_BEACON_UNAVAILABLE')
    await until(reported, { withinMs: 5_000, what: 'the report' })
    await new Promise<void>((resolve) => selfish.close(resolve))
    new Program(port, 1_002).start(t)
    await program.heard.until(({ target }) => target.port === 1_002)
  },
)

void t.test('subnet broadcast reaches programs that no multicast reaches', async (t) => {
  const port = await freePort()
  const otherGroup = { groups: { ipv4: '239.255.70.88', ipv6: 'ff02::4657:2' } }
  const listener = new Program(port, undefined, otherGroup).start(t)
  const seen = new Inbox<string>()
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  socket.on('message', (message) => seen.push(typeof decodeBeacon(message) === 'string' ? 'other' : 'beacon'))
  await new Promise<void>((resolve) => socket.bind(port, '127.255.255.255', resolve))
  t.teardown(() => new Promise<void>((resolve) => socket.close(resolve)))
  new Program(port, 1_001, { broadcast: true }).start(t)
  await seen.until((what) => what === 'beacon')
  await listener.heard.until(({ target }) => target.port === 1_001)
})

void t.test('nothing is left open after stopping, even in the middle of starting', async (t) => {
  const port = await freePort()
  const program = new Program(port, 1_001)
  program.socket.start()
  await program.socket.stop()
  await program.socket.stop()
  await t.resolves(nothingOpen())
})
