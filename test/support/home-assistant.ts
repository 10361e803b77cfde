/**
 * What Home Assistant takes as MQTT device discovery, by its documentation (www.home-assistant.io/integrations/mqtt, sections "Discovery
 * messages" and "Device discovery payload"; /integrations/sensor and /integrations/binary_sensor for device classes): what it would
 * refuse or ignore is an error here.
 */

/** Device classes of `sensor` and the units that each takes. */
const SENSOR_CLASSES: Readonly<Record<string, readonly (string | undefined)[]>> = {
  apparent_power: ['mVA', 'VA', 'kVA'],
  battery: ['%'],
  current: ['A', 'mA'],
  data_rate: [
    'bit/s',
    'kbit/s',
    'Mbit/s',
    'Gbit/s',
    'B/s',
    'kB/s',
    'MB/s',
    'GB/s',
    'KiB/s',
    'MiB/s',
    'GiB/s',
  ],
  data_size: ['bit', 'kbit', 'Mbit', 'Gbit', 'B', 'kB', 'MB', 'GB', 'TB', 'KiB', 'MiB', 'GiB', 'TiB'],
  distance: ['km', 'm', 'cm', 'mm', 'mi', 'nmi', 'yd', 'in'],
  duration: ['d', 'h', 'min', 's', 'ms', 'µs'],
  frequency: ['Hz', 'kHz', 'MHz', 'GHz'],
  humidity: ['%'],
  illuminance: ['lx'],
  irradiance: ['W/m²', 'BTU/(h⋅ft²)'],
  ph: [undefined],
  power: ['mW', 'W', 'kW', 'MW', 'GW', 'TW'],
  pressure: ['Pa', 'kPa', 'hPa', 'bar', 'cbar', 'mbar', 'mmHg', 'inHg', 'psi'],
  reactive_power: ['mvar', 'var', 'kvar'],
  signal_strength: ['dB', 'dBm'],
  sound_pressure: ['dB', 'dBA'],
  speed: ['ft/s', 'in/d', 'in/h', 'in/s', 'km/h', 'kn', 'm/s', 'mph', 'mm/d', 'mm/s'],
  temperature: ['°C', '°F', 'K'],
  voltage: ['V', 'mV', 'µV', 'kV', 'MV'],
  volume_flow_rate: ['m³/h', 'm³/min', 'm³/s', 'ft³/min', 'L/h', 'L/min', 'L/s', 'mL/s', 'gal/min'],
  weight: ['kg', 'g', 'mg', 'µg', 'oz', 'lb', 'st'],
}
const BINARY_CLASSES = ['problem']
const ROOT_KEYS = [
  'device',
  'origin',
  'components',
  'availability',
  'availability_mode',
  'qos',
  'state_topic',
]
const DEVICE_KEYS = [
  'identifiers',
  'name',
  'manufacturer',
  'model',
  'suggested_area',
  'sw_version',
  'serial_number',
]
const COMPONENT_KEYS = [
  'platform',
  'unique_id',
  'name',
  'state_topic',
  'value_template',
  'json_attributes_topic',
  'json_attributes_template',
  'expire_after',
  'device_class',
]
const SENSOR_KEYS = [...COMPONENT_KEYS, 'unit_of_measurement', 'state_class']

type Json = Record<string, any>

/** Empty where Home Assistant takes it all. `prefix`: its discovery prefix. */
export function homeAssistantErrors(topic: string, payload: Uint8Array, prefix = 'homeassistant'): string[] {
  const errors: string[] = []
  const expect = (holds: boolean, error: string): void => void (holds || errors.push(error))
  const only = (what: string, value: Json, keys: readonly string[]): void => {
    for (const key of Object.keys(value)) expect(keys.includes(key), `${what} has ${key}`)
  }
  const [first, kind, id, last, ...more] = topic.split('/')
  expect(first === prefix && kind === 'device' && last === 'config' && more.length === 0, `topic ${topic}`)
  expect(/^[a-zA-Z0-9_-]+$/.test(id ?? ''), `id ${id}`)
  if (payload.length === 0) return errors
  const {
    device,
    origin,
    components,
    availability,
    availability_mode: mode,
    ...rest
  } = JSON.parse(Buffer.from(payload).toString()) as Json
  only('the payload', { device, origin, components, availability, ...rest }, ROOT_KEYS)
  only('device', device, DEVICE_KEYS)
  expect(
    device.identifiers.length > 0 && device.identifiers.every((one: unknown) => typeof one === 'string'),
    'identifiers',
  )
  expect(typeof origin.name === 'string' && origin.name !== '', 'origin.name')
  expect(['all', 'any', 'latest'].includes(mode), `availability_mode ${mode}`)
  for (const one of availability as Json[]) {
    only('availability', one, ['topic', 'value_template', 'payload_available', 'payload_not_available'])
    expect(isTopic(one['topic']), `availability topic ${one['topic']}`)
  }
  expect(Object.keys(components).length > 0, 'no components')
  const ids = new Set<string>()
  for (const [key, component] of Object.entries(components as Record<string, Json>)) {
    const { platform, unique_id: unique, state_topic: state, device_class: className } = component
    expect(/^[a-zA-Z0-9_-]+$/.test(key), `component ${key}`)
    expect(typeof unique === 'string' && !ids.has(unique), `unique_id ${unique}`)
    ids.add(unique)
    expect(isTopic(state), `state_topic ${state}`)
    expect(
      component['expire_after'] === undefined || Number.isInteger(component['expire_after']),
      'expire_after',
    )
    if (platform === 'binary_sensor') {
      only(key, component, COMPONENT_KEYS)
      expect(className === undefined || BINARY_CLASSES.includes(className), `device_class ${className}`)
    } else if (platform === 'sensor') {
      only(key, component, SENSOR_KEYS)
      const { unit_of_measurement: unit, state_class: stateClass } = component
      expect(stateClass === undefined || stateClass === 'measurement', `state_class ${stateClass}`)
      expect(stateClass !== undefined || unit === undefined, 'a unit of what is no number')
      if (className !== undefined) {
        const units = SENSOR_CLASSES[className]
        expect(units?.includes(unit) === true, `device_class ${className} in ${unit}`)
      }
    } else expect(false, `platform ${platform}`)
  }
  return errors
}

function isTopic(text: unknown): boolean {
  return typeof text === 'string' && text !== '' && !/[+#\0]/.test(text)
}
