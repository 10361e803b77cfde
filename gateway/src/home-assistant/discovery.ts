import { removal, type Message } from '../bridge/topics.js'
import { homeUnit } from './units.js'

/** What is known of the readings of one name. */
export interface Sensor {
  readonly name: string
  readonly kind: 'number' | 'text' | 'boolean'
  /** SenML unit. */
  readonly unit?: string
  /** Topic of its current value, in JSON. */
  readonly topic: string
  /** Seconds after which a value is not current any more. */
  readonly expireAfterS?: number
}

/** One agent as Home Assistant sees it: a device with a sensor for each name. */
export interface HomeDevice {
  /** Id of the agent's key in hex: the device stays the same when it is renamed. */
  readonly id: string
  readonly name: string
  readonly area?: string
  readonly sensors: readonly Sensor[]
}

export interface HomeSite {
  /** Prefix of discovery topics, `homeassistant` unless Home Assistant is told otherwise. */
  readonly prefix: string
  readonly version: string
  readonly gatewayTopic: string
  readonly agentTopic: (name: string) => string
}

const ID_DIGITS = 24
const ONLINE = "{{ 'online' if value_json.state in ['online', 'late'] else 'offline' }}"

/**
 * The retained message that makes a device appear (MQTT device discovery of Home Assistant, "Device discovery payload"): the device is
 * available while the gateway and the agent are.
 */
export function discoveryMessage(site: HomeSite, device: HomeDevice): Message {
  const id = idOf(device)
  const components = device.sensors.map((sensor) => [uniqueId(id, sensor), componentOf(id, sensor)])
  const payload = {
    device: {
      identifiers: [id],
      name: device.name,
      manufacturer: 'Fieldwhisper',
      model: 'agent',
      ...(device.area !== undefined && { suggested_area: device.area }),
    },
    origin: { name: 'Fieldwhisper', sw_version: site.version },
    availability: [
      { topic: site.gatewayTopic, value_template: '{{ value_json.state }}' },
      { topic: site.agentTopic(device.name), value_template: ONLINE },
    ],
    availability_mode: 'all',
    components: Object.fromEntries(components) as Record<string, unknown>,
    qos: 1,
  }
  return { topic: topicOf(site, device), payload: Buffer.from(JSON.stringify(payload)), retain: true }
}

/** Takes a device and all of its sensors away. */
export function discoveryRemoval(site: HomeSite, device: Pick<HomeDevice, 'id'>): Message {
  return removal(topicOf(site, device))
}

function topicOf({ prefix }: HomeSite, device: Pick<HomeDevice, 'id'>): string {
  return `${prefix}/device/${idOf(device)}/config`
}

function idOf({ id }: Pick<HomeDevice, 'id'>): string {
  return `fieldwhisper_${id.slice(0, ID_DIGITS)}`
}

function componentOf(device: string, sensor: Sensor): Record<string, unknown> {
  const { name, kind, topic, expireAfterS } = sensor
  const common = {
    unique_id: uniqueId(device, sensor),
    name,
    state_topic: topic,
    json_attributes_topic: topic,
    json_attributes_template: ATTRIBUTES,
    ...(expireAfterS !== undefined && { expire_after: expireAfterS }),
  }
  if (kind === 'boolean')
    return {
      platform: 'binary_sensor',
      ...common,
      ...(isAlarm(name) && { device_class: 'problem' }),
      value_template: "{{ 'ON' if value_json.value else 'OFF' }}",
    }
  const { unit, deviceClass } = homeUnit(sensor.unit)
  return {
    platform: 'sensor',
    ...common,
    value_template: '{{ value_json.value }}',
    ...(kind === 'number' && {
      state_class: 'measurement',
      ...(unit !== undefined && { unit_of_measurement: unit }),
      ...(deviceClass !== undefined && { device_class: deviceClass }),
    }),
  }
}

const ATTRIBUTES =
  "{{ {'time': value_json.time, 'quality': value_json.quality, 'path': value_json.path} | tojson }}"

/** An alarm of the agent, not whether somebody has acknowledged it. */
function isAlarm(name: string): boolean {
  return name.startsWith('alarm/') && !name.endsWith('/acknowledged')
}

/** A sensor that begins to send values of another kind is another one: Home Assistant keeps the platform of an id for ever. */
function uniqueId(device: string, { name, kind }: Sensor): string {
  return `${device}_${slug(name)}${kind === 'number' ? '' : `_${kind}`}`
}

/**
 * A name in the characters that Home Assistant takes in ids, [a-zA-Z0-9_-]; every other byte as `_xx` in hex, so that two names never
 * share one.
 */
function slug(name: string): string {
  return [...Buffer.from(name)]
    .map((byte) => {
      const letter = String.fromCharCode(byte)
      return /[a-zA-Z0-9-]/.test(letter) ? letter : `_${byte.toString(16).padStart(2, '0')}`
    })
    .join('')
}
