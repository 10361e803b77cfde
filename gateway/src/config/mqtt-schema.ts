import { about, duration, errorText, plainText } from '@fieldwhisper/host'
import { z } from 'zod'
import type { MqttSettings, SparkplugSettings } from '../bridge/settings.js'
import {
  DEFAULT_REPLAY_RATE,
  DEFAULT_TOPIC_TEMPLATE,
  EMBEDDED_TLS_PORT,
  EMBEDDED_WEBSOCKET_PORT,
} from '../bridge/constants.js'
import { REPLAY_ORDERS } from '../bridge/outbox-queue.js'
import { PAYLOAD_FORMATS } from '../bridge/payload-format.js'
import { parseTemplate } from '../bridge/topics.js'

/** Keys of `mqtt:` that only make sense with a broker of one's own. */
const EXTERNAL_KEYS = ['version', 'user', 'password', 'password_file', 'password_env', 'tls'] as const
/** Three ways to give the password: one at most. */
const PASSWORD_KEYS = ['password', 'password_file', 'password_env'] as const

const path = plainText(1, 4_096)
const port = z.int().min(1).max(65_535)

const brokerUrl = z
  .string()
  .max(300)
  .refine(
    (text) =>
      /^(mqtts?:\/\/[^\s/@?#]+\/?|wss?:\/\/[^\s/@?#]+(\/[^\s@?#]*)?)$/.test(text) && URL.canParse(text),
    {
      error:
        'expected mqtt://host:port, mqtts://host:port, ws://host:port/path or wss://host:port/path, without user and password: these have keys of their own',
    },
  )

const topicTemplate = z.string().superRefine((text, context) => {
  try {
    parseTemplate(text)
  } catch (error) {
    context.addIssue({ code: 'custom', message: errorText(error) })
  }
})

const embedded = z
  .strictObject({
    host: about(
      plainText(1, 253).default('127.0.0.1'),
      'Address to listen on. Anything but loopback shows readings and password to that network.',
    ),
    port: about(port.optional(), 'TCP port. Absent: 1883, or the next free one up to 1893 if that is taken.'),
    tls: about(
      z
        .strictObject({
          host: about(plainText(1, 253).default('0.0.0.0'), 'Address to listen on.'),
          port: about(port.default(EMBEDDED_TLS_PORT), 'TCP port.'),
          cert: about(path, 'PEM file with the certificate, then any intermediate ones.'),
          key: about(path, 'PEM file with its private key.'),
        })
        .optional(),
      'A second port, for mqtts://. Paths are relative to this file. Absent: none.',
    ),
    websocket: about(
      z
        .strictObject({
          host: about(plainText(1, 253).default('127.0.0.1'), 'Address to listen on.'),
          port: about(port.default(EMBEDDED_WEBSOCKET_PORT), 'TCP port.'),
          secure: about(
            z.boolean().default(false),
            'true: wss:// with the certificate of `tls`. false: ws://, in the clear.',
          ),
        })
        .optional(),
      'A port for MQTT over WebSocket, for web pages. Absent: none.',
    ),
  })
  .refine(({ tls, websocket }) => websocket?.secure !== true || tls !== undefined, {
    path: ['websocket', 'secure'],
    error: 'needs the certificate of `tls`, which is missing',
  })

const homeAssistant = z.strictObject({
  enabled: about(z.boolean().default(true), 'false: off.'),
  prefix: about(
    z
      .string()
      .regex(/^[^\s/+#$][^\s+#]{0,63}$/, { error: 'expected the discovery prefix, such as homeassistant' })
      .default('homeassistant'),
    'Discovery prefix, as in the MQTT settings of Home Assistant.',
  ),
})

const sparkplugId = plainText(1, 128).refine((text) => !/[+/#]/.test(text), {
  error: 'expected a Sparkplug id: no + / #',
})

const sparkplug = z.strictObject({
  group: about(sparkplugId.optional(), 'Group id. Absent: the name of the site.'),
  edge: about(sparkplugId.default('fieldwhisper'), 'Edge node id; one gateway of a group has it.'),
  host: about(
    sparkplugId.optional(),
    'Id of the primary host application: births wait for it. Absent: nobody is waited for.',
  ),
  accept_v2_state: about(
    z.boolean().default(false),
    'true: a STATE in the form of Sparkplug 2.2 counts too.',
  ),
})

const tls = z
  .strictObject({
    ca: about(
      path.optional(),
      'PEM file with the authorities that are believed. Absent: those that this machine knows.',
    ),
    cert: about(
      path.optional(),
      'PEM file with a certificate of this gateway, for brokers that ask for one.',
    ),
    key: about(path.optional(), 'PEM file with its private key: chmod 600.'),
    servername: about(
      plainText(1, 253).optional(),
      "Name in the broker's certificate, where it is another than that of the URL.",
    ),
  })
  .superRefine(({ cert, key }, context) => {
    if ((cert === undefined) === (key === undefined)) return
    const missing = cert === undefined ? 'cert' : 'key'
    context.addIssue({
      code: 'custom',
      path: [missing],
      message: 'is missing: certificate and key go together',
    })
  })

const expire = z
  .array(
    z.strictObject({
      name: about(plainText(1, 128), 'Name of readings; * stands for any text.'),
      after: about(duration({ min: '1s', max: '365d' }), 'Time to live, from 1s to 365d.'),
    }),
  )
  .max(100)
  .default([])
  .transform((rules) => rules.map(({ name, after }) => ({ name, afterMs: after })))

const replay = z
  .strictObject({
    rate: about(
      z.int().min(1).max(1_000_000).default(DEFAULT_REPLAY_RATE),
      'Readings a second at most, of those that waited.',
    ),
    order: about(
      z.enum(REPLAY_ORDERS).default('live_first'),
      'live_first: what comes meanwhile goes ahead of what waited. in_order: behind it.',
    ),
  })
  .prefault({})

/** `mqtt:` of the gateway's configuration. */
export const mqttSchema = z
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
      expire,
      'Readings older than this are published as historical ones, never as the current value. The first rule that fits counts.',
    ),
    replay: about(replay, 'How readings that waited for the broker are published when it is there again.'),
    home_assistant: about(
      homeAssistant.optional(),
      'Home Assistant finds the devices by itself (MQTT discovery). Absent: off. Needs `payload: json`.',
    ),
    sparkplug: about(
      sparkplug.optional(),
      'A Sparkplug B edge node at the same broker, each agent a device (docs/sparkplug.md). Absent: none.',
    ),
    embedded: about(
      embedded.optional(),
      'The broker inside the gateway: user fieldwhisper, a password made at the first start (file mqtt-password in the state folder); more users by `fieldwhisper-gateway broker user add`. In force unless `url` is given.',
    ),
    url: about(
      brokerUrl.optional(),
      'A broker of your own in place of the embedded one: mqtt://, mqtts://, ws:// or wss://, host:port.',
    ),
    version: about(
      z
        .union([z.enum(['auto', '5', '3.1.1']), z.literal(5)], { error: 'expected auto, "5" or "3.1.1"' })
        .optional(),
      'Version of MQTT. auto, the default: 5, and 3.1.1 where the broker does not know 5.',
    ),
    user: about(plainText(1, 256).optional(), 'User at that broker.'),
    password: about(
      z.string().min(1).max(1_024).optional(),
      'Its password. A secret: chmod 600 this file, or use `password_file` or `password_env`.',
    ),
    password_file: about(path.optional(), 'File whose first line is the password, relative to this file.'),
    password_env: about(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, {
          error: 'expected the name of a variable, such as MQTT_PASSWORD',
        })
        .optional(),
      'Variable of the environment that holds the password.',
    ),
    tls: about(
      tls.optional(),
      'Certificates for mqtts:// and wss://, paths relative to this file. Absent: the broker must show one that this machine knows.',
    ),
  })
  .superRefine((mqtt, context) => {
    const refuse = (key: keyof typeof mqtt, message: string): void =>
      context.addIssue({ code: 'custom', path: [key], message })
    if (mqtt.home_assistant?.enabled === true && mqtt.payload !== 'json')
      refuse('home_assistant', 'needs `payload: json`: it looks into the values')
    if (mqtt.url === undefined) {
      for (const key of EXTERNAL_KEYS) {
        if (mqtt[key] !== undefined) refuse(key, 'belongs to a broker of your own: `url` is missing')
      }
      return
    }
    if (mqtt.embedded) refuse('embedded', 'either `url` or `embedded`, not both')
    const [first, ...more] = PASSWORD_KEYS.filter((key) => mqtt[key] !== undefined)
    for (const key of more) refuse(key, `either \`${first!}\` or \`${key}\`, not both`)
    if (first !== undefined && mqtt.user === undefined)
      refuse('user', 'is missing: MQTT 3.1.1 takes no password without a user')
    if (mqtt.tls && !/^(mqtts|wss):/.test(mqtt.url))
      refuse('tls', 'needs mqtts:// or wss:// in `url`: nothing is encrypted otherwise')
  })
  .transform((mqtt): MqttSettings => {
    const {
      topic,
      payload,
      expire,
      replay,
      url,
      version,
      user,
      password,
      password_file: passwordFile,
      password_env: passwordEnv,
    } = mqtt
    const { enabled, prefix } = mqtt.home_assistant ?? { enabled: false, prefix: '' }
    const published = {
      topic,
      payload,
      expire,
      replay,
      ...(enabled && { homeAssistant: { prefix } }),
      ...(mqtt.sparkplug && { sparkplug: edgeOf(mqtt.sparkplug) }),
    }
    if (url === undefined) {
      const { host = '127.0.0.1', port, tls, websocket } = mqtt.embedded ?? {}
      const listeners = { ...(tls && { tls }), ...(websocket && { websocket }) }
      return { ...published, embedded: { host, ...(port !== undefined && { port }), ...listeners } }
    }
    return {
      ...published,
      url,
      ...(version !== undefined && { version: version === 5 ? '5' : version }),
      ...(user !== undefined && { user }),
      ...(password !== undefined && { password }),
      ...(passwordFile !== undefined && { passwordFile }),
      ...(passwordEnv !== undefined && { passwordEnv }),
      ...(mqtt.tls && { tls: defined(mqtt.tls) }),
    }
  })

function edgeOf({
  group,
  edge,
  host,
  accept_v2_state: acceptLegacyState,
}: z.output<typeof sparkplug>): SparkplugSettings {
  return {
    edge,
    acceptLegacyState,
    ...(group !== undefined && { group }),
    ...(host !== undefined && { hostId: host }),
  }
}

/** Without the keys that are there and undefined. */
function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as never
}
