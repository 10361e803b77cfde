import type { SerialConfig, SimulateConfig, SourceConfig, SystemConfig } from '../config/sources.js'
import type { LineFormat } from './lines/line.js'
import { csvFormat } from './lines/csv.js'
import { jsonFormat } from './lines/json.js'
import { numberFormat } from './lines/number.js'
import { pairsFormat } from './lines/pairs.js'
import { SerialSource, type SerialOptions } from './serial.js'
import { SimulateSource, type SimulateOptions } from './simulate.js'
import type { Source, SourceContext } from './source.js'
import { SystemSource, type SystemOptions } from './system.js'

/** The sources of a configuration, none of them started. `stateFolder`: its disk is reported by the system source. */
export function createSources(
  configs: readonly SourceConfig[],
  context: SourceContext,
  stateFolder?: string,
): readonly Source[] {
  return configs.map((config) => {
    switch (config.type) {
      case 'system':
        return new SystemSource(systemOptions(config, stateFolder), context)
      case 'serial':
        return new SerialSource(serialOptions(config), context)
      case 'simulate':
        return new SimulateSource(simulateOptions(config), context)
    }
  })
}

export function systemOptions(config: SystemConfig, stateFolder?: string): SystemOptions {
  return {
    name: config.name ?? config.type,
    prefix: config.prefix,
    intervalMs: config.interval,
    readings: [...new Set(config.readings)],
    ...(config.interfaces === undefined ? {} : { interfaces: config.interfaces }),
    ...(stateFolder === undefined ? {} : { stateFolder }),
  }
}

export function serialOptions(config: SerialConfig): SerialOptions {
  const name = config.name ?? config.type
  const reading = config.reading ?? name
  const readings = new Map(
    Object.entries(config.readings).map(([key, { name, unit }]) => [
      key,
      { ...(name === undefined ? {} : { name }), ...(unit === undefined ? {} : { unit }) },
    ]),
  )
  if (config.unit !== undefined) readings.set(reading, { unit: config.unit, ...readings.get(reading) })
  return {
    name,
    port: {
      path: config.path,
      baudRate: config.baud_rate,
      dataBits: config.data_bits,
      parity: config.parity,
      stopBits: config.stop_bits,
      flowControl: config.flow_control,
    },
    lineEnd: config.line_end === 'cr' ? '\r' : '\n',
    encoding: config.encoding,
    maxLineBytes: config.max_line,
    format: lineFormat(config, reading),
    prefix: config.prefix,
    readings,
    onlyListed: config.only_listed,
  }
}

function lineFormat(config: SerialConfig, reading: string): LineFormat {
  const decimalComma = config.decimal_comma
  switch (config.format) {
    case 'number':
      return numberFormat({ reading, decimalComma })
    case 'pairs':
      return pairsFormat({ decimalComma })
    case 'json':
      return jsonFormat()
    case 'csv':
      return csvFormat({
        separator: config.separator === 'tab' ? '\t' : (config.separator ?? (decimalComma ? ';' : ',')),
        decimalComma,
        ...(config.header === undefined ? {} : { header: config.header }),
      })
  }
}

export function simulateOptions(config: SimulateConfig): SimulateOptions {
  return {
    name: config.name ?? config.type,
    prefix: config.prefix,
    rateHz: config.rate,
    seed: config.seed,
    ...(config.count === undefined ? {} : { count: config.count }),
    series: config.readings.map(({ name, unit, waveform, min, max, period }) => ({
      name,
      ...(unit === undefined ? {} : { unit }),
      waveform,
      min,
      max,
      periodMs: period,
    })),
  }
}
