import t, { type Test } from 'tap'
import { createSocket } from 'node:dgram'
import { createLan, type Lan, type LanOptions, type LinkInfo, type LinkTarget } from '@fieldwhisper/mesh'
import { seededRandom } from '../../support/seeded-random.js'
import { until } from '../../support/until.js'
import { Inbox, nothingOpen } from './lan-ends.js'

type Event =
  | { readonly type: 'opened'; readonly link: LinkInfo }
  | { readonly type: 'packet'; readonly link: number; readonly packet: Uint8Array }
  | { readonly type: 'question'; readonly link: number; readonly slot: Uint8Array }
  | { readonly type: 'record'; readonly link: number; readonly record: Uint8Array }
  | { readonly type: 'closed'; readonly link: number; readonly end: string }
  | { readonly type: 'remember'; readonly targets: readonly LinkTarget[] }

const SLOT = new Uint8Array(16).fill(5)
let seed = 100

async function freePort(): Promise<number> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  return port
}

/** A device on the loopback interface that notes what its LAN tells it. */
class Device {
  readonly inbox = new Inbox<Event>()
  readonly codes: string[] = []
  readonly lan: Lan

  constructor(options: Partial<LanOptions>) {
    const push = (event: Event): void => this.inbox.push(event)
    this.lan = createLan({
      role: 'agent',
      interfaces: [],
      loopback: true,
      listen: { host: '127.0.0.1', port: 0 },
      handlers: {
        opened: (link) => push({ type: 'opened', link }),
        packet: (link, packet) => push({ type: 'packet', link, packet }),
        question: (link, slot) => push({ type: 'question', link, slot }),
        record: (link, record) => push({ type: 'record', link, record }),
        closed: (link, end) => push({ type: 'closed', link, end }),
        remember: (targets) => push({ type: 'remember', targets }),
      },
      reporter: { event: (_level, code) => this.codes.push(code) },
      random: seededRandom(++seed),
      clock: { monoMs: () => performance.now() },
      ...options,
    })
  }

  async start(t: Test): Promise<this> {
    t.teardown(() => this.lan.stop())
    await this.lan.start()
    return this
  }

  async first<K extends Event['type']>(type: K): Promise<Extract<Event, { type: K }>> {
    return await this.inbox.until((event): event is Extract<Event, { type: K }> => event.type === type)
  }

  get target(): LinkTarget {
    return { address: '127.0.0.1', port: this.lan.status().port! }
  }
}

void t.test(
  'an agent and a gateway on one host find each other by beacon and talk within two seconds',
  async (t) => {
    const beaconPort = await freePort()
    const gateway = await new Device({ role: 'gateway', beaconPort }).start(t)
    const agent = await new Device({ beaconPort, slot: () => SLOT }).start(t)
    agent.lan.outstanding(true)
    t.equal(agent.lan.status().searching, true)
    const started = performance.now()
    const { link } = await agent.first('opened')
    t.ok(performance.now() - started < 2_000)
    t.same((await gateway.first('question')).slot, SLOT, 'while searching it asks for the record')
    t.equal(gateway.lan.answer((await gateway.first('question')).link, Buffer.from('record')), true)
    t.same((await agent.first('record')).record, Buffer.from('record'))
    t.equal(agent.lan.send(link.id, new Uint8Array(200).fill(3)), true)
    const { packet, link: there } = await gateway.first('packet')
    t.same(packet, new Uint8Array(200).fill(3))
    gateway.lan.useful(there)
    t.equal(gateway.lan.links().find(({ id }) => id === there)?.useful, true)
    agent.lan.acked(link.id)
    t.equal(agent.lan.status().searching, false)
    const { interfaces, heardAddresses, heardDevices } = agent.lan.status()
    t.same(
      { interfaces, heardAddresses, heardDevices },
      { interfaces: ['lo'], heardAddresses: 1, heardDevices: 1 },
    )
    t.same([...agent.codes, ...gateway.codes], [])
  },
)

void t.test(
  'peers are found without beacons, and what answered is remembered and dialled first',
  async (t) => {
    const gateway = await new Device({ role: 'gateway', discovery: false }).start(t)
    const peer = `127.0.0.1:${gateway.target.port}`
    const agent = await new Device({ discovery: false, peers: [peer] }).start(t)
    const { link } = await agent.first('opened')
    t.same(link.target, gateway.target)
    agent.lan.acked(link.id)
    t.equal(
      agent.inbox.all.some(({ type }) => type === 'remember'),
      false,
      'the configuration remembers it',
    )
    t.equal(agent.lan.status().beacons, undefined)
    const later = await new Device({
      discovery: false,
      remembered: [
        { address: 'fe80::1%gone0', port: 1 },
        { address: 'no name', port: 99_999 },
        gateway.target,
      ],
    }).start(t)
    t.same((await later.first('opened')).link.target, gateway.target)
  },
)

void t.test(
  'a record names the addresses that brought ACKs, and one that brings only those is no record',
  async (t) => {
    const beaconPort = await freePort()
    const gateway = await new Device({ role: 'gateway', beaconPort }).start(t)
    const found = await new Device({ beaconPort, peers: [`127.0.0.1:${gateway.target.port}`] }).start(t)
    const { link } = await found.first('opened')
    found.lan.acked(link.id)
    const asking = await new Device({ discovery: false, peers: [`127.0.0.1:${found.target.port}`] }).start(t)
    asking.lan.ask((await asking.first('opened')).link.id, SLOT)
    const { link: asked } = await found.first('question')
    found.lan.answer(asked, new Uint8Array(0))
    found.lan.answer(asked, Buffer.from('newer'))
    t.same((await asking.first('record')).record, Buffer.from('newer'))
  },
)

void t.test('a gateway that restarts on another port is found again by its beacon', async (t) => {
  const beaconPort = await freePort()
  const gateway = await new Device({ role: 'gateway', beaconPort }).start(t)
  const agent = await new Device({ beaconPort }).start(t)
  agent.lan.outstanding(true)
  const { link } = await agent.inbox.until(
    (event): event is Extract<Event, { type: 'opened' }> =>
      event.type === 'opened' && event.link.target !== undefined,
  )
  agent.lan.acked(link.id)
  t.same((await agent.first('remember')).targets, [gateway.target])
  await gateway.lan.stop()
  await agent.inbox.until((event) => event.type === 'closed' && event.link === link.id)
  const again = await new Device({ role: 'gateway', beaconPort }).start(t)
  await agent.inbox.until((event) => event.type === 'opened' && event.link.target?.port === again.target.port)
})

void t.test('a paused owner is not handed packets until it resumes', async (t) => {
  const gateway = await new Device({ role: 'gateway', discovery: false }).start(t)
  const agent = await new Device({ discovery: false, peers: [`127.0.0.1:${gateway.target.port}`] }).start(t)
  const { link } = await agent.first('opened')
  await gateway.first('opened')
  gateway.lan.setPaused(true)
  let taken = 0
  await until(() => !agent.lan.send(link.id, new Uint8Array(16_384)) || ++taken > 2_000, {
    withinMs: 30_000,
    everyMs: 1,
    what: 'the sender to be held back',
  })
  t.ok(taken <= 2_000, 'TCP holds the sender back')
  const handed = (): number => gateway.inbox.all.filter(({ type }) => type === 'packet').length
  t.ok(handed() <= 8, `${handed()} packets were read already`)
  gateway.lan.setPaused(false)
  await until(() => handed() >= taken, { withinMs: 10_000, what: 'all of them' })
})

void t.test('peers that cannot be read or are too many are refused before anything is opened', async (t) => {
  t.throws(() => new Device({ peers: ['gateway:0'] }), {
    name: 'MeshError',
    code: 'FW_LAN_PEER_INVALID',
    message: /gateway:0/,
  })
  const many = Array.from({ length: 65 }, (_, i) => `10.0.0.${i}:1`)
  t.throws(() => new Device({ peers: many }), {
    name: 'MeshError',
    code: 'FW_LAN_PEER_INVALID',
    message: /at most 64/,
  })
  t.doesNotThrow(() => new Device({ peers: many.slice(1) }))
  await t.resolves(nothingOpen())
})

void t.test('a packet that no packet can be is refused to the sender and its link stays', async (t) => {
  const gateway = await new Device({ role: 'gateway', discovery: false }).start(t)
  const agent = await new Device({ discovery: false, peers: [`127.0.0.1:${gateway.target.port}`] }).start(t)
  const { link } = await agent.first('opened')
  t.throws(() => agent.lan.send(link.id, new Uint8Array(16_385)), {
    name: 'MeshError',
    code: 'FW_LAN_FRAME_MALFORMED',
  })
  t.throws(() => agent.lan.answer(link.id, new Uint8Array(20_480)), {
    name: 'MeshError',
    code: 'FW_LAN_FRAME_TOO_LONG',
  })
  t.equal(agent.lan.send(link.id, new Uint8Array(16_384)), true)
  t.equal((await gateway.first('packet')).packet.length, 16_384)
  t.equal(agent.lan.send(999, new Uint8Array(100)), false, 'a link that is not there')
})

void t.test('stopping leaves nothing open, also before and during the start', async (t) => {
  const beaconPort = await freePort()
  const never = new Device({ beaconPort })
  await never.lan.stop()
  const early = new Device({ beaconPort })
  const starting = early.lan.start()
  await early.lan.stop()
  await starting
  const [a, b] = [
    new Device({ role: 'gateway', beaconPort }),
    new Device({ beaconPort, peers: ['127.0.0.1:9', 'nobody.invalid:9'] }),
  ]
  await Promise.all([a.lan.start(), b.lan.start()])
  await a.first('opened')
  await Promise.all([a.lan.stop(), b.lan.stop()])
  const after = b.inbox.all.length
  b.lan.outstanding(true)
  b.lan.acked(1)
  t.equal(b.inbox.all.length, after)
  await t.resolves(nothingOpen())
})
