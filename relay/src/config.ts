import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import {
  about,
  configSchemaJson,
  durationAbout,
  loadConfig,
  parseConfig,
  plainText,
  sizeAbout,
} from '@fieldwhisper/host'
import { DEFAULT_RELAY_PORT } from '@fieldwhisper/mesh/relay-frames'
import {
  CONNECTIONS_PER_SOURCE,
  CREDIT_PACKETS,
  MAILBOX_HELLO_PACKETS,
  MAILBOX_PACKETS,
  MAX_CONNECTIONS,
  MAX_MAILBOXES,
  MAX_NAMES,
  MAX_RECORDS,
} from './constants.js'

export interface ListenAddress {
  readonly host: string
  readonly port: number
}

const LISTEN = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:[\]]+)):(\d{1,5})$/

/** `0.0.0.0:24780`, `[::]:24780`, `relay.lan:443`; port 0 takes any free one. Undefined for anything else. */
export function parseListen(text: string): ListenAddress | undefined {
  const found = LISTEN.exec(text)
  const host = found?.[1] ?? found?.[2]
  const port = Number(found?.[3])
  return host !== undefined && port <= 65_535 ? { host, port } : undefined
}

const listen = z
  .string()
  .regex(LISTEN, { error: 'expected host:port, such as 0.0.0.0:24780 or [::]:24780' })
  .transform((text, context) => {
    const address = parseListen(text)
    if (address) return address
    context.issues.push({ code: 'custom', message: 'the port is at most 65535', input: text })
    return z.NEVER
  })

/** A count from 1 to `most`. */
function count(most: number, byDefault: number, meaning: string): z.ZodDefault<z.ZodInt> {
  return about(z.int().min(1).max(most).default(byDefault), `${meaning} From 1 to ${most}.`)
}

const limits = z.strictObject({
  total: sizeAbout(
    { min: '1MiB', max: '16TiB' },
    '1GiB',
    'Room on disk for all packets; each counts 256 bytes more than it has. Clients without the access token share a tenth.',
  ),
  mailboxes: count(
    1_000_000,
    MAX_MAILBOXES,
    'Mailboxes, about three an agent. Clients without the access token share a tenth.',
  ),
  mailbox_packets: count(40_000, MAILBOX_PACKETS, 'Packets in one mailbox.'),
  mailbox_bytes: sizeAbout({ min: '64KiB', max: '2GiB' }, '32MiB', 'Bytes in one mailbox.'),
  mailbox_hello_packets: count(40_000, MAILBOX_HELLO_PACKETS, 'Of these, packets that begin a session.'),
  mailbox_hello_bytes: sizeAbout({ min: '64KiB', max: '2GiB' }, '4MiB', 'Bytes of such packets.'),
  packet_ttl: durationAbout(
    { min: '1m', max: '365d' },
    '7d',
    'A packet nobody fetched is dropped after this time of running.',
  ),
  mailbox_idle: durationAbout(
    { min: '1h', max: '3650d' },
    '90d',
    'An empty mailbox nobody reads ends after this time of running, give or take a day.',
  ),
  records: count(
    100_000,
    MAX_RECORDS,
    'Prekey records in the directory, one a site. Clients without the access token share a tenth.',
  ),
  credit_packets: count(8_192, CREDIT_PACKETS, 'Packets of one mailbox handed over and not yet deleted.'),
  credit_bytes: sizeAbout(
    { min: '16KiB', max: '64MiB' },
    '1MiB',
    'Bytes of one mailbox handed over and not yet deleted.',
  ),
  connections: count(
    100_000,
    MAX_CONNECTIONS,
    'Connections at once. Clients without the access token get a tenth.',
  ),
  connections_per_source: count(
    100_000,
    CONNECTIONS_PER_SOURCE,
    'Of these, from one IPv4 address or one IPv6 /64 network; loopback is exempt. Without the access token at most 32.',
  ),
  slow: durationAbout(
    { min: '1s', max: '10m' },
    '30s',
    'A client that takes nothing off its connection for so long is cut.',
  ),
})

/** What a relay can be told, alone or inside a gateway; every key may be left out. docs/relay.md has the table. */
export const relayConfigSchema = z.strictObject({
  listen: about(
    listen.prefault(`0.0.0.0:${DEFAULT_RELAY_PORT}`),
    'Address and TCP port. [::]:24780 takes IPv6 and IPv4.',
  ),
  open: about(
    z.boolean().default(true),
    'true: clients without the access token are let in, to a tenth of everything. false: they are refused.',
  ),
  access_token: about(
    z
      .string()
      .regex(/^[\x21-\x7e]{16,128}$/, { error: 'expected 16 to 128 printable characters without spaces' })
      .optional(),
    'What members show. Absent: one is made at the first start and kept in the file access-token of the state folder.',
  ),
  names: about(
    z.array(z.string().min(1).max(253)).min(1).max(MAX_NAMES).optional(),
    'All names and addresses by which clients dial this relay. Absent: host name, host name.local, localhost and its addresses.',
  ),
  tls: about(
    z
      .strictObject({
        cert: about(plainText(1, 4_096), 'PEM file with the certificate, then any intermediate ones.'),
        key: about(plainText(1, 4_096), 'PEM file with its private key.'),
      })
      .optional(),
    'Certificate for wss://, paths relative to this file. Absent: ws://, for a network that is trusted or a proxy that does TLS.',
  ),
  limits: about(limits.prefault({}), 'What a relay keeps and lets in at most.'),
})

export type RelayConfig = z.output<typeof relayConfigSchema>
/** As it is written in YAML. */
export type RelayConfigInput = z.input<typeof relayConfigSchema>

/** The configuration of the program `fieldwhisper-relay`. */
export const relayProgramSchema = relayConfigSchema.extend({
  state: about(
    plainText(1, 4_096).optional(),
    'Folder for packets and access token, relative to this file. Absent: the one of the command line.',
  ),
  log: about(
    z
      .strictObject({
        level: about(
          z.enum(['debug', 'info', 'warn', 'error']).default('info'),
          'The least that is written.',
        ),
        format: about(z.enum(['text', 'json']).default('text'), 'json: one object a line.'),
      })
      .prefault({}),
    'What is written to standard error.',
  ),
})

export type RelayProgramConfig = z.output<typeof relayProgramSchema>

/** The configuration in a file, or the defaults. Paths in it start at the file's folder. Throws HostError `FW_CONFIG_*`. */
export function loadRelayConfig(path?: string): RelayProgramConfig {
  if (path === undefined) return parseConfig('', relayProgramSchema, 'defaults')
  const config = loadConfig(path, relayProgramSchema)
  const at = (file: string): string => resolve(dirname(path), file)
  return {
    ...config,
    ...(config.state !== undefined && { state: at(config.state) }),
    ...(config.tls && { tls: { cert: at(config.tls.cert), key: at(config.tls.key) } }),
  }
}

/** What is published as docs/schema/relay.json, for editors that complete and check YAML. */
export function relayConfigJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = configSchemaJson(relayProgramSchema)
  return { $schema, title: 'Configuration of a Fieldwhisper relay', ...rest }
}
