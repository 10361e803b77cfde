import t from 'tap'
import type { NetworkInterfaceInfo } from 'node:os'
import {
  admit,
  broadcastAddress,
  chooseInterfaces,
  isOnLink,
  isOwnAddress,
  type InboundLink,
} from '@fieldwhisper/mesh'

const ipv4 = (
  address: string,
  netmask: string,
  more: Partial<NetworkInterfaceInfo> = {},
): NetworkInterfaceInfo =>
  ({
    address,
    netmask,
    family: 'IPv4',
    mac: '02:00:00:00:00:01',
    internal: false,
    cidr: `${address}/x`,
    ...more,
  }) as NetworkInterfaceInfo
const ipv6 = (address: string, scopeid: number): NetworkInterfaceInfo => ({
  address,
  netmask: 'ffff:ffff:ffff:ffff::',
  family: 'IPv6',
  mac: '02:00:00:00:00:01',
  internal: false,
  cidr: `${address}/64`,
  scopeid,
})
const table = {
  lo: [ipv4('127.0.0.1', '255.0.0.0', { internal: true })],
  eth0: [ipv4('192.168.1.20', '255.255.255.0'), ipv6('fe80::20', 2), ipv6('fd00::20', 0)],
  eth1: [ipv4('10.1.0.5', '255.255.0.0'), ipv4('10.2.0.5', '255.255.255.254')],
  vlan7: [ipv6('fd00:7::1', 0)],
  veth9: [ipv6('fe80::9', 9)],
}
const names = (choice: Parameters<typeof chooseInterfaces>[1]): string[] =>
  chooseInterfaces(table, choice).map((one) => one.name)

void t.test(
  'all interfaces but loopback are chosen, or those named; those without a usable address are left out',
  async (t) => {
    t.same(names({}), ['eth0', 'eth1', 'veth9'])
    t.same(names({ loopback: true }), ['eth0', 'eth1', 'lo', 'veth9'])
    t.same(names({ names: ['eth1', 'nowhere'] }), ['eth1'])
    t.same(names({ names: ['eth1'], loopback: true }), ['eth1', 'lo'])
    t.same(names({ names: ['lo'] }), ['lo'])
    t.same(names({ names: [] }), [])
  },
)

void t.test('an interface that came back as another device has another signature', async (t) => {
  const signature = (addresses: NetworkInterfaceInfo[]): string =>
    chooseInterfaces({ eth0: addresses }, {})[0]!.signature
  const before = signature([ipv4('10.0.0.1', '255.0.0.0'), ipv6('fe80::20', 2)])
  t.equal(signature([ipv6('fe80::20', 2), ipv4('10.0.0.1', '255.0.0.0')]), before, 'order says nothing')
  t.not(signature([ipv4('10.0.0.1', '255.0.0.0'), ipv6('fe80::20', 3)]), before, 'another index')
  t.not(signature([ipv4('10.0.0.2', '255.0.0.0'), ipv6('fe80::20', 2)]), before, 'another address')
  t.not(signature([ipv4('10.0.0.1', '255.0.0.0')]), before, 'no IPv6')
})

void t.test('only neighbours on a chosen interface are on-link', async (t) => {
  const chosen = chooseInterfaces(table, { names: ['eth0', 'eth1'] })
  for (const source of ['192.168.1.1', '192.168.1.255', '10.1.255.1', '10.2.0.4', 'fe80::77%eth0']) {
    t.equal(isOnLink(chosen, source), true, source)
  }
  for (const source of [
    '192.168.2.1',
    '10.2.0.6',
    '8.8.8.8',
    '127.0.0.1',
    'fe80::77%veth9',
    'fe80::77%eth1',
    'fe80::77',
    'fd00::1%eth0',
    'x',
  ]) {
    t.equal(isOnLink(chosen, source), false, source)
  }
})

void t.test('addresses of this machine are known, link-local ones by their interface', async (t) => {
  for (const source of ['127.0.0.1', '127.8.8.8', '192.168.1.20', 'fe80::20%eth0', 'fd00::20'])
    t.equal(isOwnAddress(table, source), true, source)
  for (const source of ['192.168.1.21', 'fe80::20%eth1', 'fe80::21%eth0'])
    t.equal(isOwnAddress(table, source), false, source)
})

void t.test('a subnet has a broadcast address unless it holds one or two hosts', async (t) => {
  t.equal(broadcastAddress({ address: '192.168.1.20', netmask: '255.255.255.0' }), '192.168.1.255')
  t.equal(broadcastAddress({ address: '10.1.0.5', netmask: '255.255.252.0' }), '10.1.3.255')
  t.equal(broadcastAddress({ address: '10.2.0.5', netmask: '255.255.255.254' }), undefined)
  t.equal(broadcastAddress({ address: '10.2.0.5', netmask: '255.255.255.255' }), undefined)
})

const inbound = (count: number, more: Partial<InboundLink> = {}): InboundLink[] =>
  Array.from({ length: count }, (_, i) => ({
    id: i,
    address: `10.0.${i >> 8}.${i & 255}`,
    local: false,
    since: i,
    useful: false,
    ...more,
  }))
const comer = { address: '10.9.9.9', local: false }

void t.test(
  'one address has four places for links that delivered nothing, and on a gateway more for useful ones',
  async (t) => {
    const four = inbound(4, { address: comer.address })
    t.same(admit(four.slice(1), comer, 0, 64), { accept: true })
    t.same(admit(four, comer, 0, 64), { accept: false })
    t.same(admit(four, comer, 1e9, 64), { accept: false }, 'also when they are old')
    t.same(admit(four, { address: '10.9.9.8', local: false }, 0, 64), { accept: true })
    const useful = (count: number): InboundLink[] => inbound(count, { address: comer.address, useful: true })
    t.same(admit(useful(63), comer, 0, 1_024), { accept: true })
    t.same(admit(useful(64), comer, 0, 1_024), { accept: false })
    t.same(admit(useful(3), comer, 0, 64), { accept: true })
    t.same(admit(useful(4), comer, 0, 64), { accept: false })
    t.same(
      admit(inbound(20, { address: '127.0.0.1', local: true }), { address: '127.0.0.1', local: true }, 0, 64),
      { accept: true },
    )
  },
)

void t.test('half of the places are kept for links that delivered something', async (t) => {
  t.same(admit(inbound(31), comer, 1_000, 64), { accept: true })
  t.same(admit(inbound(32), comer, 1_000, 64), { accept: false })
  const mixed = [...inbound(31), ...inbound(32, { useful: true })]
  t.same(admit(mixed, comer, 1_000, 64), { accept: true })
  t.same(
    admit([...mixed, ...inbound(1, { useful: true })], comer, 1_000, 64),
    { accept: false },
    '64 are open',
  )
  t.same(admit(inbound(511), comer, 1_000, 1_024), { accept: true })
  t.same(admit(inbound(512), comer, 1_000, 1_024), { accept: false })
})

void t.test(
  'a stranger that had its minute makes room for the next one, a useful link never does',
  async (t) => {
    t.same(admit(inbound(32), comer, 59_999, 64), { accept: false })
    t.same(admit(inbound(32), comer, 60_000, 64), { accept: true, evict: 0 })
    t.same(admit(inbound(64, { useful: true }), comer, 1e9, 64), { accept: false })
  },
)
