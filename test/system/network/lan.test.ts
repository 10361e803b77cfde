import t, { type Test } from 'tap'
import { fileURLToPath } from 'node:url'
import { createNet, noNetworks, type Host, type Net } from '../support/net.js'
import type { Program } from '../support/process.js'

const PROGRAM = fileURLToPath(new URL('fixtures/lan-program.ts', import.meta.url))
const skip = noNetworks()

interface Said {
  readonly type: string
  readonly at: number
  readonly link?: number
  readonly address?: string
  readonly dialled?: boolean
  readonly end?: string
  readonly code?: string
  readonly heardAddresses?: number
  readonly heardDevices?: number
  readonly interfaces?: readonly string[]
}

/** The LAN side of a device as a program on a host. */
class Device {
  readonly program: Program

  constructor(host: Host, role: 'agent' | 'gateway') {
    this.program = host.spawn(process.execPath, ['--import=tsx', PROGRAM, role], {
      name: `${role} on ${host.name}`,
    })
  }

  /** The first line of this type since `since` that fits. */
  async said(
    type: string,
    fits: (said: Said) => boolean = () => true,
    since = 0,
    withinMs = 15_000,
  ): Promise<Said> {
    const read = (line: string): Said | undefined =>
      line.startsWith('{') ? (JSON.parse(line) as Said) : undefined
    const line = await this.program.line((text) => {
      const said = read(text)
      return said?.type === type && said.at >= since && fits(said)
    }, withinMs)
    return JSON.parse(line) as Said
  }

  count(type: string): number {
    return this.program.stdout.filter((line) => line.includes(`"type":"${type}"`)).length
  }
}

/** Starts the program on each host, the last one as the gateway. */
async function start(...hosts: readonly Host[]): Promise<Device[]> {
  const devices = hosts.map((host, i) => new Device(host, i === hosts.length - 1 ? 'gateway' : 'agent'))
  await Promise.all(devices.map((device) => device.said('started')))
  return devices
}

/** All end by themselves when asked: no timer, socket or handle keeps them. */
async function end(t: Test, net: Net, devices: readonly Device[]): Promise<void> {
  for (const { program } of devices) {
    t.equal((await program.stop(5_000)).code, 0, `${program.name} ends by itself`)
    t.same(program.survivors(), [])
  }
  t.same(net.running(), [])
}

void t.test('two hosts hear each other by IPv4 and by IPv6, and talk over a link', { skip }, async (t) => {
  const net = createNet(t, ['lan'])
  const devices = await start(net.host('pump', ['lan']), net.host('gate', ['lan']))
  for (const device of devices) {
    const { interfaces } = await device.said(
      'status',
      (said) => said.heardAddresses === 2 && said.heardDevices === 1,
    )
    t.same(interfaces, ['lan'])
  }
  await devices[0]!.said('acked')
  for (const device of devices) t.equal(device.count('report'), 0)
  await end(t, net, devices)
})

void t.test('IPv4 alone is enough, and IPv6 link-local alone is enough', { skip }, async (t) => {
  const net = createNet(t, ['four', 'six'])
  const [a, b, c, d] = [
    net.host('a', ['four']),
    net.host('b', ['four']),
    net.host('c', ['six']),
    net.host('d', ['six']),
  ]
  for (const host of [a, b]) await host.run('ip', ['-6', 'address', 'flush', 'dev', 'four'])
  for (const host of [c, d]) await host.run('ip', ['-4', 'address', 'flush', 'dev', 'six'])
  const four = await start(a, b)
  const six = await start(c, d)
  for (const device of four) t.match((await device.said('opened')).address, /^10\.77\.1\.\d$/)
  for (const device of six) t.match((await device.said('opened')).address, /^fe80::.*%six$/)
  await Promise.all([four[0]!.said('acked'), six[0]!.said('acked')])
  await end(t, net, [...four, ...six])
})

void t.test(
  'a pulled cable is noticed within twelve seconds, and the link is back soon after it',
  { skip },
  async (t) => {
    const net = createNet(t, ['lan'])
    const host = net.host('pump', ['lan'])
    const [pump, gate] = (await start(host, net.host('gate', ['lan']))) as [Device, Device]
    await pump.said('remember')
    host.unplug('lan')
    const pulled = Date.now()
    const { end: reason, at } = await pump.said('closed', ({ at }) => at > pulled + 500, pulled, 20_000)
    t.equal(reason, 'FW_LAN_LINK_SILENT')
    t.ok(at - pulled < 12_000, `noticed after ${at - pulled} ms`)
    await pump.said('report', ({ code }) => code === 'FW_LAN_LINK_SILENT')
    host.plug('lan')
    const plugged = Date.now()
    const back = await pump.said('acked', () => true, plugged)
    t.ok(back.at - plugged < 12_000, `ACKs again after ${back.at - plugged} ms`)
    t.comment(`noticed after ${at - pulled} ms, mended after ${back.at - plugged} ms`)
    await end(t, net, [pump, gate])
  },
)

void t.test(
  'an interface that goes down and comes up, with its old address or a new one, is used again',
  { skip },
  async (t) => {
    const net = createNet(t, ['lan'])
    const host = net.host('pump', ['lan'])
    const [pump, gate] = (await start(host, net.host('gate', ['lan']))) as [Device, Device]
    await pump.said('remember')
    const link = async (...args: readonly string[]): Promise<number> => {
      t.equal((await host.run('ip', args)).code, 0)
      return Date.now()
    }
    const down = await link('link', 'set', 'lan', 'down')
    await pump.said('status', ({ interfaces }) => interfaces?.length === 0, down)
    await pump.said('report', ({ code }) => code === 'FW_LAN_NO_INTERFACE', down)
    await pump.said('closed', () => true, down, 20_000)
    const up = await link('link', 'set', 'lan', 'up')
    const back = await pump.said('acked', () => true, up)
    t.ok(back.at - up < 12_000, `ACKs again after ${back.at - up} ms`)
    await link('address', 'flush', 'dev', 'lan')
    const moved = await link('address', 'add', '10.77.1.99/24', 'dev', 'lan')
    await gate.said('opened', ({ address }) => address === '10.77.1.99', moved, 20_000)
    await pump.said('acked', () => true, moved + 1_000)
    await end(t, net, [pump, gate])
  },
)

void t.test('a dead interface does not keep another from being used', { skip }, async (t) => {
  const net = createNet(t, ['lan', 'uplink'])
  const [first, second] = [net.host('pump', ['lan', 'uplink']), net.host('gate', ['lan', 'uplink'])]
  second.unplug('lan')
  const [pump, gate] = (await start(first, second)) as [Device, Device]
  const { interfaces } = await pump.said('status', ({ heardAddresses }) => heardAddresses === 2)
  t.same(interfaces, ['lan', 'uplink'])
  t.match((await pump.said('opened')).address, /^10\.77\.2\.2$|%uplink$/)
  second.plug('lan')
  await pump.said('status', ({ heardAddresses, heardDevices }) => heardAddresses === 4 && heardDevices === 1)
  second.unplug('uplink')
  const pulled = Date.now()
  const other = await pump.said(
    'opened',
    ({ address }) => /^10\.77\.1\.2$|%lan$/.test(address ?? ''),
    0,
    30_000,
  )
  await pump.said('acked', ({ link }) => link === other.link, 0, 30_000)
  t.comment(`over the other interface after ${Date.now() - pulled} ms`)
  await end(t, net, [pump, gate])
})
