import { z } from 'zod'
import { about, configSchemaJson, limitField, limitsSchema, plainText } from '@fieldwhisper/host'
import { lanSchema, relaysSchema } from '@fieldwhisper/mesh'
import { relayConfigSchema } from '@fieldwhisper/relay'
import { GATEWAY_OPTIONS, OUTBOX_OPTIONS } from '../limits.js'
import { mqttSchema } from './mqtt-schema.js'

const relayUrl = z
  .string()
  .max(256)
  .refine((text) => /^wss?:\/\/[^\s/@?#]+\/?$/.test(text) && URL.canParse(text), {
    error: 'expected ws://host:port or wss://host:port without path, user or password',
  })

/** The configuration of a gateway; every key may be left out. */
export const gatewayConfigSchema = z.strictObject({
  site: about(plainText(1, 64).optional(), 'Name of the site in topics. Absent: the one given to `init`.'),
  state: about(
    plainText(1, 4_096).optional(),
    'State folder, relative to this file. Absent: the one of the command line.',
  ),
  lan: about(lanSchema.prefault({}), 'The path over the local network.'),
  relays: about(relaysSchema.default([]), 'Relays that this gateway uses and tells its agents.'),
  relay: about(
    relayConfigSchema
      .extend({
        enabled: about(
          z.boolean().default(false),
          'true: a relay runs inside the gateway, for a site with one machine.',
        ),
        urls: about(
          z.array(relayUrl).max(4).default([]),
          'How agents reach it. Absent: ws:// and the addresses of this machine.',
        ),
      })
      .prefault({}),
    'The relay inside the gateway; its other keys are those of a relay configuration.',
  ),
  mqtt: about(mqttSchema.prefault({}), 'Where readings go.'),
  outbox: about(
    z
      .strictObject({
        max_bytes: limitField(OUTBOX_OPTIONS.maxBytes),
        keep_sent: limitField(OUTBOX_OPTIONS.keepSentMs),
      })
      .prefault({}),
    'What lies between agents and broker.',
  ),
  limits: about(
    limitsSchema(GATEWAY_OPTIONS).prefault({}),
    'What this gateway takes and does at most; docs/limits.md has the reasons.',
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

export type GatewayConfig = z.output<typeof gatewayConfigSchema>
/** As it is written in YAML. */
export type GatewayConfigInput = z.input<typeof gatewayConfigSchema>

/** What is published as docs/schema/gateway.json, for editors that complete and check YAML. */
export function gatewayConfigJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = configSchemaJson(gatewayConfigSchema)
  return { $schema, title: 'Configuration of a Fieldwhisper gateway', ...rest }
}
