import { z } from 'zod'
import { DEFAULT_BEACON_PORT, DEFAULT_LINK_PORT, lanConstants, parsePeer } from './lan/index.js'
import { MAX_RELAYS, type RelayInfo } from '@fieldwhisper/protocol'
import { about } from '@fieldwhisper/host'

const LISTEN = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:[\]]+)):(\d{1,5})$/

export const listenSchema = z
  .string()
  .regex(LISTEN, { error: 'expected host:port, such as 0.0.0.0:24708 or [::]:24708' })
  .transform((text, context) => {
    const found = LISTEN.exec(text)
    const host = found?.[1] ?? found?.[2] ?? ''
    const port = Number(found?.[3])
    if (port <= 65_535) return { host, port }
    context.issues.push({ code: 'custom', message: 'the port is at most 65535', input: text })
    return z.NEVER
  })

const peer = z
  .string()
  .max(300)
  .refine(
    (text) => {
      try {
        parsePeer(text, DEFAULT_LINK_PORT)
        return true
      } catch {
        return false
      }
    },
    { error: 'expected host:port, such as 10.0.7.2:24708, or [IPv6 address]:port' },
  )

/** `lan:`: how other devices are found and reached without a relay. */
export const lanSchema = z.strictObject({
  enabled: about(
    z.boolean().default(true),
    'false: nothing is sent or heard on the LAN, relays alone carry readings.',
  ),
  interfaces: about(
    z.array(z.string().min(1).max(15)).min(1).max(32).optional(),
    'Only these network interfaces. Absent: all that have an address.',
  ),
  broadcast: about(
    z.boolean().default(false),
    'Also announce by IPv4 subnet broadcast, for networks whose switches swallow multicast.',
  ),
  peers: about(
    z.array(peer).max(lanConstants.PEERS_MAX).default([]),
    'Devices that are always dialled, as host:port: gateways behind a router, in another VLAN or a container.',
  ),
  listen: about(
    listenSchema.optional(),
    `Address and TCP port for links from other devices. Absent: all addresses, port ${DEFAULT_LINK_PORT}, or a free one if that is taken.`,
  ),
  beacon_port: about(
    z.int().min(1).max(65_535).default(DEFAULT_BEACON_PORT),
    'UDP port of the announcements; the same on all devices of a site.',
  ),
  loopback: about(
    z.boolean().default(false),
    'Also announce on the loopback interface, for a gateway on this same machine without any network.',
  ),
})

const relayUrl = z
  .string()
  .max(256)
  .refine(
    (text) => {
      if (!URL.canParse(text)) return false
      const { protocol, username, password, search, hash, pathname } = new URL(text)
      return /^wss?:$/.test(protocol) && username + password + search + hash === '' && /^\/?$/.test(pathname)
    },
    { error: 'expected ws://host:port or wss://host:port without path, user or password' },
  )

const fingerprint = z
  .string()
  .regex(/^(?:[0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$/, {
    error: 'expected the SHA-256 of the TLS certificate: 64 hexadecimal digits, colons allowed',
  })
  .transform((text) => text.replaceAll(':', '').toLowerCase())

/** `relays:` in place of those that the invite and the gateway name. */
export const relaysSchema = z
  .array(
    z
      .strictObject({
        url: about(relayUrl, 'ws:// or wss:// address of the relay.'),
        token: about(
          z
            .string()
            .regex(/^[\x21-\x7e]{1,128}$/, { error: 'expected 1 to 128 printable characters without spaces' })
            .optional(),
          'Access token of the relay, if it asks for one. A secret: chmod 600 this file.',
        ),
        fingerprint: about(
          fingerprint.optional(),
          'SHA-256 of the TLS certificate of the relay; absent with wss://: the certificate must be one that this machine trusts.',
        ),
      })
      .transform(({ url, token, fingerprint }): RelayInfo => ({
        url,
        ...(token !== undefined && { token }),
        ...(fingerprint !== undefined && { fingerprint }),
      })),
  )
  .max(MAX_RELAYS)
