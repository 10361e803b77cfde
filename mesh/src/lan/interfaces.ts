import type { NetworkInterfaceInfo } from 'node:os'
import { addressBytes, withoutScope } from './target.js'

/** What `os.networkInterfaces()` gives: interfaces that are up, with their addresses. */
export type InterfaceTable = NodeJS.Dict<NetworkInterfaceInfo[]>

export interface InterfaceChoice {
  /** Names as the operating system has them. Absent: all but loopback. */
  readonly names?: readonly string[]
  /** Also the loopback interface: for a site on one host. */
  readonly loopback?: boolean
}

/** One interface on which beacons are sent and heard. */
export interface LanInterface {
  readonly name: string
  readonly ipv4: readonly { readonly address: string; readonly netmask: string }[]
  /** It has a link-local address (`fe80::`), and with it IPv6 multicast. */
  readonly ipv6: boolean
  /** Changes whenever something does that memberships and sockets depend on. */
  readonly signature: string
}

/** The chosen interfaces that are up and have an address to send from, in order of name. */
export function chooseInterfaces(table: InterfaceTable, choice: InterfaceChoice): LanInterface[] {
  const chosen: LanInterface[] = []
  for (const [name, addresses = []] of Object.entries(table)) {
    const internal = addresses.some((address) => address.internal)
    const named = choice.names === undefined ? !internal : choice.names.includes(name)
    if (!named && !(internal && choice.loopback === true)) continue
    const ipv4 = addresses.filter((one) => one.family === 'IPv4')
    const linkLocal = addresses.filter((one) => one.family === 'IPv6' && isLinkLocal(one.address))
    if (ipv4.length === 0 && linkLocal.length === 0) continue
    // The scope is the interface's index: a device that was made anew under its old name has another one.
    const parts = [...ipv4, ...linkLocal].map((one) =>
      [one.cidr, one.mac, one.family === 'IPv6' ? one.scopeid : 0].join(' '),
    )
    chosen.push({
      name,
      ipv4: ipv4.map(({ address, netmask }) => ({ address, netmask })),
      ipv6: linkLocal.length > 0,
      signature: [name, ...parts.sort()].join(', '),
    })
  }
  return chosen.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Did this come from a neighbour? IPv4: its address is in a chosen interface's subnet. IPv6: link-local, with its scope. */
export function isOnLink(interfaces: readonly LanInterface[], source: string): boolean {
  if (source.includes(':')) {
    const scope = source.split('%')[1]
    return isLinkLocal(source) && interfaces.some((one) => one.ipv6 && one.name === scope)
  }
  const address = ipv4Number(source)
  if (address === undefined) return false
  return interfaces.some((one) => one.ipv4.some((own) => sameSubnet(address, own)))
}

/** Is it an address of this machine? */
export function isOwnAddress(table: InterfaceTable, source: string): boolean {
  if (source.startsWith('127.')) return true
  const [address, scope] = source.split('%')
  return Object.entries(table).some(
    ([name, addresses = []]) =>
      (scope === undefined || scope === name) && addresses.some((own) => own.address === address),
  )
}

/** The subnet's broadcast address; undefined where there is none (/31, /32). */
export function broadcastAddress(own: {
  readonly address: string
  readonly netmask: string
}): string | undefined {
  const address = ipv4Number(own.address)
  const mask = ipv4Number(own.netmask)
  if (address === undefined || mask === undefined || ~mask >>> 0 < 2) return undefined
  const broadcast = (address | ~mask) >>> 0
  return [broadcast >>> 24, (broadcast >>> 16) & 0xff, (broadcast >>> 8) & 0xff, broadcast & 0xff].join('.')
}

function sameSubnet(address: number, own: { readonly address: string; readonly netmask: string }): boolean {
  const mask = ipv4Number(own.netmask) ?? 0xffff_ffff
  return ((address ^ (ipv4Number(own.address) ?? ~address)) & mask) === 0
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address)
}

function ipv4Number(text: string): number | undefined {
  const bytes = addressBytes(withoutScope(text))
  return bytes?.length === 4
    ? ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0
    : undefined
}
