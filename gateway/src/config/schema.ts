import { z } from 'zod'
import {
  about,
  configSchemaJson,
  duration,
  errorText,
  limitField,
  limitsSchema,
  plainText,
} from '@fieldwhisper/host'
import { lanSchema, relaysSchema } from '@fieldwhisper/mesh'
import { relayConfigSchema } from '@fieldwhisper/relay'
import type { MqttSettings } from '../bridge/bridge.js'
import { DEFAULT_TOPIC_TEMPLATE } from '../bridge/constants.js'
import { PAYLOAD_FORMATS } from '../bridge/payload-format.js'
import { isLabelName, labelsOf, parseTemplate } from '../bridge/topics.js'
import { GATEWAY_OPTIONS, OUTBOX_OPTIONS } from '../limits.js'

/** Keys of `mqtt:` that only make sense with a broker of one's own. */
const LOGIN_KEYS = ['user', 'password', 'password_file'] as const

const brokerUrl = z
  .string()
  .max(300)
  .refine((text) => /^mqtt:\/\/[^\s/@?#]+\/?$/.test(text) && URL.canParse(text), {
    error: 'expected mqtt://host:port, without user, password or path: these have keys of their own',
  })

const relayUrl = z
  .string()
  .max(256)
  .refine((text) => /^wss?:\/\/[^\s/@?#]+\/?$/.test(text) && URL.canParse(text), {
    error: 'expected ws://host:port or wss://host:port without path, user or password',
  })

const topicTemplate = z.string().superRefine((text, context) => {
  try {
    parseTemplate(text)
  } catch (error) {
    context.addIssue({ code: 'custom', message: errorText(error) })
  }
})

const mqttSchema = z
  .strictObject({
    topic: about(
      topicTemplate.default(DEFAULT_TOPIC_TEMPLATE),
      'Topics of readings: levels between slashes; {site}, {agent}, {name} and labels such as {area} each alone in one. The first is fixed text.',
    ),
    payload: about(
      z.enum(PAYLOAD_FORMATS).default('json'),
      'json: value, unit, time, quality, id, path, historical. senml: SenML JSON (RFC 8428). value: the bare value; what was taken long ago then goes to the topic below, $history.',
    ),
    expire: about(
      z
        .array(
          z.strictObject({
            name: about(plainText(1, 128), 'Name of readings; * stands for any text.'),
            after: about(duration({ min: '1s', max: '365d' }), 'Time to live, from 1s to 365d.'),
          }),
        )
        .max(100)
        .default([])
        .transform((rules) => rules.map(({ name, after }) => ({ name, afterMs: after }))),
      'Readings older than this are published as historical ones, never as the current value. The first rule that fits counts.',
    ),
    embedded: about(
      z
        .strictObject({
          host: about(
            plainText(1, 253).default('127.0.0.1'),
            'Address to listen on. Anything but loopback shows readings and password to that network.',
          ),
          port: about(
            z.int().min(1).max(65_535).optional(),
            'TCP port. Absent: 1883, or the next free one up to 1893 if that is taken.',
          ),
        })
        .optional(),
      'The broker inside the gateway: user fieldwhisper, a password made at the first start (file mqtt-password in the state folder). In force unless `url` is given.',
    ),
    url: about(brokerUrl.optional(), 'A broker of your own in place of the embedded one: mqtt://host:port.'),
    user: about(plainText(1, 256).optional(), 'User at that broker.'),
    password: about(
      z.string().min(1).max(1_024).optional(),
      'Its password. A secret: chmod 600 this file, or use `password_file`.',
    ),
    password_file: about(
      plainText(1, 4_096).optional(),
      'File whose first line is the password, relative to this file.',
    ),
  })
  .superRefine((mqtt, context) => {
    const refuse = (key: keyof typeof mqtt, message: string): void =>
      context.addIssue({ code: 'custom', path: [key], message })
    if (mqtt.url === undefined) {
      for (const key of LOGIN_KEYS) {
        if (mqtt[key] !== undefined) refuse(key, 'belongs to a broker of your own: `url` is missing')
      }
    } else {
      if (mqtt.embedded) refuse('embedded', 'either `url` or `embedded`, not both')
      if (mqtt.password !== undefined && mqtt.password_file !== undefined) {
        refuse('password_file', 'either `password` or `password_file`, not both')
      }
      if (mqtt.user === undefined && (mqtt.password ?? mqtt.password_file) !== undefined) {
        refuse('user', 'is missing: MQTT 3.1.1 takes no password without a user')
      }
    }
  })
  .transform(({ embedded, url, user, password, password_file: passwordFile, ...publish }): MqttSettings => {
    if (url === undefined) {
      const { host = '127.0.0.1', port } = embedded ?? {}
      return { ...publish, embedded: { host, ...(port !== undefined && { port }) } }
    }
    return {
      ...publish,
      url,
      ...(user !== undefined && { user }),
      ...(password !== undefined && { password }),
      ...(passwordFile !== undefined && { passwordFile }),
    }
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
  for (const label of labelsOf(parseTemplate(mqtt.topic))) {
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
