import { MeshError } from '../errors.js'

/**
 * Where a link can be dialled. `address` is an IPv4 address, an IPv6 address (link-local ones with their scope,
 * `fe80::1%eth0`) or, from the configuration only, a host name.
 */
export interface LinkTarget {
  readonly address: string
  readonly port: number
}

export function targetKey(target: LinkTarget): string {
  return `${target.address} ${target.port}`
}

/** `fe80::1%eth0` without `%eth0`: what another machine would call the same address. */
export function withoutScope(address: string): string {
  const scope = address.indexOf('%')
  return scope === -1 ? address : address.slice(0, scope)
}

/** As the operating system reports it, with IPv4 addresses of a dual-stack socket in their own form. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/**
 * Reads one `peers:` entry: `host:port`, `[IPv6]:port`, `host` or `[IPv6]` (then `defaultPort`).
 * Throws `MeshError` FW_LAN_PEER_INVALID.
 */
export function parsePeer(text: string, defaultPort: number): LinkTarget {
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]{1,15})?)\]|([\w.-]{1,253}))(?::(\d{1,5}))?$/.exec(text)
  const address = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? defaultPort : Number(match[3])
  if (address === undefined || port < 1 || port > 65_535) {
    const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
    throw new MeshError(
      'FW_LAN_PEER_INVALID',
      `"${shown}" is not a peer: write host:port, or [IPv6 address]:port`,
    )
  }
  return { address, port }
}

/** 4 or 16 bytes of a literal address without scope; undefined for a host name. */
export function addressBytes(address: string): Uint8Array | undefined {
  const text = withoutScope(address)
  return text.includes(':') ? ipv6Bytes(text) : ipv4Bytes(text)
}

/** The text of 4 or 16 bytes, IPv6 in the form of RFC 5952. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

function ipv4Bytes(text: string): Uint8Array | undefined {
  if (!/^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)) return undefined
  const parts = text.split('.').map(Number)
  return parts.every((part) => part <= 255) ? Uint8Array.from(parts) : undefined
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  let canonical: string
  try {
    // The URL parser also turns an embedded IPv4 tail into groups.
    canonical = new URL(`http://[${text}]`).hostname.slice(1, -1)
  } catch {
    return undefined
  }
  const [head = '', tail] = canonical.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
  const bytes = new Uint8Array(16)
  groups.forEach((group, i) => {
    const value = parseInt(group, 16)
    bytes[2 * i] = value >>> 8
    bytes[2 * i + 1] = value & 0xff
  })
  return bytes
}
