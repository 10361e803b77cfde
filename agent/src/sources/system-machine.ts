import { stat, statfs, readFile } from 'node:fs/promises'
import { cpus, loadavg, networkInterfaces, uptime } from 'node:os'

/** Processor time since boot, in milliseconds, of all cores together. */
export interface ProcessorTimes {
  readonly cores: number
  readonly totalMs: number
  readonly idleMs: number
}

/** Bytes since the interface came up. */
export interface InterfaceCounters {
  readonly received: number
  readonly sent: number
}

/** Raw numbers of the machine; tests have a machine of their own. */
export interface Machine {
  processorTimes(): ProcessorTimes
  /** Degrees Celsius; `undefined` when the machine has no sensor. */
  temperature(): Promise<number | undefined>
  memory(): Promise<{ readonly totalBytes: number; readonly availableBytes: number }>
  disk(path: string): Promise<{ readonly usedBytes: number; readonly availableBytes: number }>
  /** Equal for two paths on one file system. */
  fileSystem(path: string): Promise<number>
  /** Names of the interfaces that have an address, without loopback. */
  interfaces(): readonly string[]
  /** `undefined` when there is no such interface. */
  interfaceCounters(name: string): Promise<InterfaceCounters | undefined>
  loadAverage(): readonly number[]
  uptimeSeconds(): number
}

/**
 * Temperature and memory come from `systeminformation`, which knows the boards and systems. The rest comes from Node: the
 * library takes differences by the wall clock and repeats its last answer while that clock stands behind an earlier one,
 * starts a shell for each number, and looks at every mounted file system, dead network mounts included.
 */
export const thisMachine: Machine = {
  processorTimes() {
    const cores = cpus()
    let totalMs = 0
    let idleMs = 0
    for (const { times } of cores) {
      totalMs += times.user + times.nice + times.sys + times.idle + times.irq
      idleMs += times.idle
    }
    return { cores: cores.length, totalMs, idleMs }
  },

  async temperature() {
    const { cpuTemperature } = await import('systeminformation')
    const { main } = await cpuTemperature()
    return main ?? undefined
  },

  async memory() {
    const { mem } = await import('systeminformation')
    const { total, available } = await mem()
    return { totalBytes: total, availableBytes: available }
  },

  async disk(path) {
    const { bsize, blocks, bfree, bavail } = await statfs(path)
    return { usedBytes: (blocks - bfree) * bsize, availableBytes: bavail * bsize }
  },

  async fileSystem(path) {
    return (await stat(path)).dev
  },

  interfaces() {
    return Object.entries(networkInterfaces())
      .filter(([, addresses]) => addresses?.some((address) => !address.internal))
      .map(([name]) => name)
  },

  async interfaceCounters(name) {
    if (process.platform === 'linux') {
      const [received, sent] = await Promise.all(
        ['rx_bytes', 'tx_bytes'].map((counter) =>
          readCounter(`/sys/class/net/${name}/statistics/${counter}`),
        ),
      )
      return received === undefined || sent === undefined ? undefined : { received, sent }
    }
    const { networkStats } = await import('systeminformation')
    const [stats] = await networkStats(name)
    return stats === undefined ? undefined : { received: stats.rx_bytes, sent: stats.tx_bytes }
  },

  loadAverage: loadavg,
  uptimeSeconds: uptime,
}

async function readCounter(path: string): Promise<number | undefined> {
  try {
    const value = Number(await readFile(path, 'latin1'))
    return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  } catch {
    return undefined
  }
}
