import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { duration, loadConfig, parseConfig, size } from '@fieldwhisper/host'
import { DEFAULT_RELAY_PORT } from '@fieldwhisper/mesh/relay-frames'
import {
  CONNECTIONS_PER_SOURCE,
  MAX_CONNECTIONS,
  MAX_MAILBOXES,
  MAX_NAMES,
  MAX_RECORDS,
} from './constants.js'
import { CREDIT_PACKETS, MAILBOX_HELLO_PACKETS, MAILBOX_PACKETS } from './constants.js'

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

const amount = (max: number): z.ZodInt => z.int().min(1).max(max)

/** The configuration of a relay; every key may be left out. docs/relay.md has the table. */
export const relayConfigSchema = z.strictObject({
  listen: listen.prefault(`0.0.0.0:${DEFAULT_RELAY_PORT}`),
  open: z.boolean().default(true),
  access_token: z
    .string()
    .regex(/^[\x21-\x7e]{16,128}$/, { error: 'expected 16 to 128 printable characters without spaces' })
    .optional(),
  names: z.array(z.string().min(1).max(253)).max(MAX_NAMES).optional(),
  tls: z.strictObject({ cert: z.string().min(1), key: z.string().min(1) }).optional(),
  limits: z
    .strictObject({
      total: size({ min: '1MiB', max: '16TiB' }).prefault('1GiB'),
      mailboxes: amount(1_000_000).default(MAX_MAILBOXES),
      mailbox_packets: amount(40_000).default(MAILBOX_PACKETS),
      mailbox_bytes: size({ min: '64KiB', max: '2GiB' }).prefault('32MiB'),
      mailbox_hello_packets: amount(40_000).default(MAILBOX_HELLO_PACKETS),
      mailbox_hello_bytes: size({ min: '64KiB', max: '2GiB' }).prefault('4MiB'),
      packet_ttl: duration({ min: '1m', max: '365d' }).prefault('7d'),
      mailbox_idle: duration({ min: '1h', max: '3650d' }).prefault('90d'),
      records: amount(100_000).default(MAX_RECORDS),
      credit_packets: amount(8_192).default(CREDIT_PACKETS),
      credit_bytes: size({ min: '16KiB', max: '64MiB' }).prefault('1MiB'),
      connections: amount(100_000).default(MAX_CONNECTIONS),
      connections_per_source: amount(100_000).default(CONNECTIONS_PER_SOURCE),
      slow: duration({ min: '1s', max: '10m' }).prefault('30s'),
    })
    .prefault({}),
})

export type RelayConfig = z.output<typeof relayConfigSchema>
/** As it is written in YAML. */
export type RelayConfigInput = z.input<typeof relayConfigSchema>

/** The configuration in a file, or the defaults. Paths in it start at the file's folder. Throws HostError `FW_CONFIG_*`. */
export function loadRelayConfig(path?: string): RelayConfig {
  if (path === undefined) return parseConfig('', relayConfigSchema, 'defaults')
  const config = loadConfig(path, relayConfigSchema)
  if (!config.tls) return config
  const at = (file: string): string => resolve(dirname(path), file)
  return { ...config, tls: { cert: at(config.tls.cert), key: at(config.tls.key) } }
}
