/** What Home Assistant is told of a unit. */
export interface HomeUnit {
  /** As it is written there; absent where the value has none. */
  readonly unit?: string
  /** A device class of its sensor integration. */
  readonly deviceClass?: string
}

/**
 * Symbols of the SenML units registry (RFC 8428 section 12.1, RFC 8798) in the words of Home Assistant's sensor device classes. A unit
 * that is not here is passed on as it is, without a class: a wrong class would make Home Assistant refuse the sensor.
 */
const UNITS: Readonly<Record<string, HomeUnit>> = {
  Cel: { unit: '°C', deviceClass: 'temperature' },
  K: { unit: 'K', deviceClass: 'temperature' },
  '%RH': { unit: '%', deviceClass: 'humidity' },
  '/100': { unit: '%' },
  '%': { unit: '%' },
  '%EL': { unit: '%', deviceClass: 'battery' },
  Pa: { unit: 'Pa', deviceClass: 'pressure' },
  hPa: { unit: 'hPa', deviceClass: 'pressure' },
  V: { unit: 'V', deviceClass: 'voltage' },
  mV: { unit: 'mV', deviceClass: 'voltage' },
  A: { unit: 'A', deviceClass: 'current' },
  mA: { unit: 'mA', deviceClass: 'current' },
  W: { unit: 'W', deviceClass: 'power' },
  kW: { unit: 'kW', deviceClass: 'power' },
  VA: { unit: 'VA', deviceClass: 'apparent_power' },
  var: { unit: 'var', deviceClass: 'reactive_power' },
  Hz: { unit: 'Hz', deviceClass: 'frequency' },
  MHz: { unit: 'MHz', deviceClass: 'frequency' },
  lx: { unit: 'lx', deviceClass: 'illuminance' },
  m: { unit: 'm', deviceClass: 'distance' },
  mm: { unit: 'mm', deviceClass: 'distance' },
  cm: { unit: 'cm', deviceClass: 'distance' },
  km: { unit: 'km', deviceClass: 'distance' },
  kg: { unit: 'kg', deviceClass: 'weight' },
  g: { unit: 'g', deviceClass: 'weight' },
  'm/s': { unit: 'm/s', deviceClass: 'speed' },
  'km/h': { unit: 'km/h', deviceClass: 'speed' },
  s: { unit: 's', deviceClass: 'duration' },
  ms: { unit: 'ms', deviceClass: 'duration' },
  min: { unit: 'min', deviceClass: 'duration' },
  h: { unit: 'h', deviceClass: 'duration' },
  B: { unit: 'B', deviceClass: 'data_size' },
  KiB: { unit: 'KiB', deviceClass: 'data_size' },
  GB: { unit: 'GB', deviceClass: 'data_size' },
  'B/s': { unit: 'B/s', deviceClass: 'data_rate' },
  'bit/s': { unit: 'bit/s', deviceClass: 'data_rate' },
  dB: { unit: 'dB', deviceClass: 'sound_pressure' },
  dBm: { unit: 'dBm', deviceClass: 'signal_strength' },
  'W/m2': { unit: 'W/m²', deviceClass: 'irradiance' },
  ppm: { unit: 'ppm' },
  'ug/m3': { unit: 'µg/m³' },
  m3: { unit: 'm³' },
  l: { unit: 'L' },
  'm3/s': { unit: 'm³/s', deviceClass: 'volume_flow_rate' },
  'l/s': { unit: 'L/s', deviceClass: 'volume_flow_rate' },
  pH: { deviceClass: 'ph' },
  count: {},
}

export function homeUnit(symbol: string | undefined): HomeUnit {
  if (symbol === undefined || symbol === '') return {}
  return Object.hasOwn(UNITS, symbol) ? UNITS[symbol]! : { unit: symbol }
}
