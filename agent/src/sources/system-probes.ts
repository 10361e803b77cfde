import {
  MAX_INTERFACES,
  UNIT_BYTE,
  UNIT_BYTE_PER_SECOND,
  UNIT_CELSIUS,
  UNIT_PERCENT,
  UNIT_SECOND,
} from './constants.js'
import type { Sample, SourceContext } from './source.js'
import type { InterfaceCounters, Machine, ProcessorTimes } from './system-machine.js'

/** The kinds of readings of a host; each is measured, fails and is switched on by itself. */
export const SYSTEM_READINGS = ['cpu', 'temperature', 'memory', 'disk', 'network', 'load', 'uptime'] as const
export type SystemReading = (typeof SYSTEM_READINGS)[number]

/** Measures once. `absent`: this machine has nothing of the kind. Empty: nothing to say this time. */
export type Probe = () => Promise<readonly Sample[] | 'absent'>

export interface ProbeOptions {
  /** Its file system is reported beside that of `/`. */
  readonly stateFolder?: string
  /** Exactly these network interfaces; absent: those of the machine that lead somewhere. */
  readonly interfaces?: readonly string[]
  /** Interfaces beyond the limit, said once. */
  readonly onTooManyInterfaces: () => void
}

export function systemProbes(
  machine: Machine,
  clock: SourceContext['clock'],
  options: ProbeOptions,
): Readonly<Record<SystemReading, Probe>> {
  return {
    cpu: cpuProbe(machine),
    temperature: temperatureProbe(machine),
    memory: memoryProbe(machine),
    disk: diskProbe(machine, options.stateFolder),
    network: networkProbe(machine, clock, options),
    async load() {
      const [one, five, fifteen] = machine.loadAverage()
      return [...given('load_1min', one), ...given('load_5min', five), ...given('load_15min', fifteen)]
    },
    async uptime() {
      return [{ name: 'uptime', unit: UNIT_SECOND, value: Math.floor(machine.uptimeSeconds()) }]
    },
  }
}

/** Share of the time since the last look in which a core worked; so the first look says nothing. */
function cpuProbe(machine: Machine): Probe {
  let before: ProcessorTimes | undefined
  return async () => {
    const now = machine.processorTimes()
    if (now.cores === 0) return 'absent'
    const last = before
    before = now
    if (last === undefined || last.cores !== now.cores) return []
    const total = now.totalMs - last.totalMs
    const idle = now.idleMs - last.idleMs
    if (total <= 0 || idle < 0 || idle > total) return []
    return [{ name: 'cpu_load', unit: UNIT_PERCENT, value: round((1 - idle / total) * 100, 1) }]
  }
}

function temperatureProbe(machine: Machine): Probe {
  return async () => {
    const value = await machine.temperature()
    if (value === undefined || !Number.isFinite(value)) return 'absent'
    return [{ name: 'cpu_temperature', unit: UNIT_CELSIUS, value }]
  }
}

/** Used is what programs hold: caches that the system gives back at once count as available. */
function memoryProbe(machine: Machine): Probe {
  return async () => {
    const { totalBytes, availableBytes } = await machine.memory()
    return [
      { name: 'memory_used', unit: UNIT_BYTE, value: totalBytes - availableBytes },
      { name: 'memory_available', unit: UNIT_BYTE, value: availableBytes },
    ]
  }
}

function diskProbe(machine: Machine, stateFolder: string | undefined): Probe {
  return async () => {
    const places = [{ label: 'root', path: '/' }]
    if (stateFolder !== undefined) {
      const [root, state] = await Promise.all([machine.fileSystem('/'), machine.fileSystem(stateFolder)])
      if (root !== state) places.push({ label: 'state', path: stateFolder })
    }
    const disks = await Promise.all(
      places.map(async ({ label, path }) => ({ label, ...(await machine.disk(path)) })),
    )
    return disks.flatMap(({ label, usedBytes, availableBytes }) => [
      { name: `disk_${label}_used`, unit: UNIT_BYTE, value: usedBytes },
      { name: `disk_${label}_available`, unit: UNIT_BYTE, value: availableBytes },
    ])
  }
}

/** Ends of virtual cables and bridges inside this machine: containers make and drop them all day. */
const INTERNAL_INTERFACE = /^(veth|docker|br-|virbr|vnet|cni|cali|flannel|lxc|lxd|podman)/

interface Count extends InterfaceCounters {
  readonly atMs: number
}

/** Rates between two looks. A counter that went back was reset: no rate until the next look. */
function networkProbe(machine: Machine, clock: SourceContext['clock'], options: ProbeOptions): Probe {
  const before = new Map<string, Count>()
  const chosen = new Set<string>(options.interfaces)
  let saidTooMany = false

  return async () => {
    if (options.interfaces === undefined) {
      for (const name of machine.interfaces()) {
        if (chosen.has(name) || INTERNAL_INTERFACE.test(name)) continue
        if (chosen.size < MAX_INTERFACES) {
          chosen.add(name)
        } else if (!saidTooMany) {
          saidTooMany = true
          options.onTooManyInterfaces()
        }
      }
    }
    const samples: Sample[] = []
    let present = 0
    for (const name of chosen) {
      const counters = await machine.interfaceCounters(name)
      const last = before.get(name)
      if (counters === undefined) {
        before.delete(name)
        continue
      }
      present++
      const now = { ...counters, atMs: clock.monoMs() }
      before.set(name, now)
      const seconds = last === undefined ? 0 : (now.atMs - last.atMs) / 1_000
      if (last === undefined || seconds <= 0 || now.received < last.received || now.sent < last.sent) continue
      samples.push(
        {
          name: `network_${name}_received`,
          unit: UNIT_BYTE_PER_SECOND,
          value: rate(last.received, now.received, seconds),
        },
        {
          name: `network_${name}_sent`,
          unit: UNIT_BYTE_PER_SECOND,
          value: rate(last.sent, now.sent, seconds),
        },
      )
    }
    return present === 0 ? 'absent' : samples
  }
}

function rate(from: number, to: number, seconds: number): number {
  return Math.round((to - from) / seconds)
}

function given(name: string, value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ name, value: round(value, 2) }]
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits))
}
