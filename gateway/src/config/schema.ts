import { z } from 'zod'
import { about, configSchemaJson, limitField, limitsSchema, plainText } from '@fieldwhisper/host'
import { lanSchema, relaysSchema } from '@fieldwhisper/mesh'
import { relayConfigSchema } from '@fieldwhisper/relay'
import { isLabelName, labelsOf } from '../bridge/topics.js'
import { GATEWAY_OPTIONS, OUTBOX_OPTIONS } from '../limits.js'
import { mqttSchema } from './mqtt-schema.js'

const relayUrl = z
  .string()
  .max(256)
  .refine((text) => /^wss?:\/\/[^\s/@?#]+\/?$/.test(text) && URL.canParse(text), {
    error: 'expected ws://host:port or wss://host:port without path, user or password',
  })

const labelName = z.string().refine(isLabelName, {
  error: 'expected a label: a to z, 0 to 9 and _, at most 32 characters, and not site, agent or name',
})

/** Names of agents may be anything, also what objects have by themselves. */
const labelsSchema = z.record(plainText(1, 64), z.record(labelName, plainText(1, 128)))

const settingsSchema = z.strictObject({
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
  labels: about(
    labelsSchema.default({}),
    'What is known of agents, by name: `pump-7: { area: press-shop, line: "2" }`. For topics; an agent without a label has "unassigned" there.',
  ),
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

/** The configuration of a gateway; every key may be left out. */
export const gatewayConfigSchema = settingsSchema.superRefine(({ mqtt, labels }, context) => {
  const known = new Set(Object.values(labels).flatMap((values) => Object.keys(values)))
  for (const label of labelsOf(mqtt.topic.split('/'))) {
    if (known.has(label)) continue
    const message = `no agent under \`labels\` has ${label}: write it there for one at least, or mend the template`
    context.addIssue({ code: 'custom', path: ['mqtt', 'topic'], message })
  }
})

export type GatewayConfig = z.output<typeof gatewayConfigSchema>
/** As it is written in YAML. */
export type GatewayConfigInput = z.input<typeof gatewayConfigSchema>

/** What is published as docs/schema/gateway.json, for editors that complete and check YAML. */
export function gatewayConfigJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = configSchemaJson(gatewayConfigSchema)
  return { $schema, title: 'Configuration of a Fieldwhisper gateway', ...rest }
}
