import { GatewayError } from '../errors.js'
import { decodePayload, type Metric } from './codec.js'
import { REBIRTH_METRIC } from './constants.js'
import type { Devices } from './devices.js'
import type { EdgeCommand, Report } from './events.js'
import { commandValue } from './values.js'

/** True if a host asks for every birth again; other commands to the node are told and not obeyed. */
export function nodeCommand(payload: Uint8Array): { readonly rebirth: boolean; readonly reports: Report[] } {
  const { metrics, reports } = read(payload)
  const others = metrics.filter(({ name }) => name !== REBIRTH_METRIC).length
  if (others > 0) reports.push(refused('names something that this node does not take', { refused: others }))
  const rebirth = metrics.some(
    ({ name, value }) => name === REBIRTH_METRIC && value?.kind === 'boolean' && value.value,
  )
  return { rebirth, reports }
}

/** What a host wants written on a device: a metric that was born, with a value of its type. */
export function deviceCommands(devices: Devices, id: string, payload: Uint8Array): (EdgeCommand | Report)[] {
  const { metrics, reports } = read(payload)
  const device = devices.findById(id)
  if (!device?.born) return [...reports, refused('is for a device that is not there')]
  const commands = metrics.flatMap((metric): EdgeCommand[] => {
    const target = devices.commanded(device, metric.alias, metric.name)
    const value = target?.declared ? commandValue(metric, target.type) : undefined
    return target && value !== undefined
      ? [{ kind: 'command', agent: device.agent, metric: target.name, value }]
      : []
  })
  const unfit = metrics.length - commands.length
  if (unfit > 0) {
    const fields = { agent: device.agent, refused: unfit }
    reports.push(refused('names a metric that the device has not, or a value of another type', fields))
  }
  return [...commands, ...reports]
}

/** A command that the broker kept may be years old. */
export function retainedCommand(): Report {
  return refused('was retained by the broker; nobody sent it now')
}

function read(payload: Uint8Array): { metrics: readonly Metric[]; reports: Report[] } {
  try {
    return { metrics: decodePayload(payload).metrics, reports: [] }
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    return { metrics: [], reports: [report(error.code, `${error.message} It was dropped.`)] }
  }
}

function refused(why: string, fields?: Report['fields']): Report {
  return report('FW_SPARKPLUG_COMMAND_REFUSED', `A Sparkplug command ${why}. It was dropped.`, fields)
}

function report(code: string, message: string, fields?: Report['fields']): Report {
  return { kind: 'report', level: 'warn', code, message, ...(fields && { fields }) }
}
