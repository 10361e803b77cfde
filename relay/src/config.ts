import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { about, configSchemaJson, limitsSchema, loadConfig, parseConfig, plainText } from '@fieldwhisper/host'
import { DEFAULT_RELAY_PORT } from '@fieldwhisper/mesh/relay-frames'
import { MAX_NAMES } from './constants.js'
import { RELAY_OPTIONS } from './limits.js'

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

/** What a relay can be told, alone or inside a gateway; every key may be left out. docs/relay.md has the table. */
export const relayConfigSchema = z.strictObject({
  listen: about(
    listen.prefault(`0.0.0.0:${DEFAULT_RELAY_PORT}`),
    'Address and TCP port. [::]:24780 takes IPv6 and IPv4.',
  ),
  open: about(
    z.boolean().default(true),
    'true: clients without the access token are let in, to their part of everything (limits.stranger_part). false: they are refused.',
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
  limits: about(limitsSchema(RELAY_OPTIONS).prefault({}), 'What a relay keeps and lets in at most.'),
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
