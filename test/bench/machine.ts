import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, platform, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { median } from './statistics.js'

const FLUSHES = 40
const PACKAGES = ['mqtt', 'aedes', 'ws', 'lmdb']
const MEMORY_FILE_SYSTEMS = new Map([
  [0x0102_1994, 'tmpfs'],
  [0x8584_58f6, 'ramfs'],
])

export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGib: number
  readonly kernel: string
  readonly node: string
  readonly openssl: string
  readonly packages: Readonly<Record<string, string>>
  /** Where the state of agent, gateway and relay lies: median of writing 4 KiB and flushing it. */
  readonly flushMs: number
  readonly memoryDisk: string | null
  /** Processes that wanted a processor in the last minute, before anything was started. */
  readonly load: number
}

export function describeMachine(folder: string): Machine {
  const list = cpus()
  return {
    processor: list[0]?.model.trim() ?? 'unknown',
    cores: list.length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
    kernel: `${platform()} ${release()}`,
    node: process.versions.node,
    openssl: process.versions.openssl,
    packages: Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name)])),
    flushMs: flushMs(folder),
    memoryDisk: MEMORY_FILE_SYSTEMS.get(statfsSync(folder).type) ?? null,
    load: loadavg()[0] ?? 0,
  }
}

/** The first lines of the report. */
export function machineLines(machine: Machine): string[] {
  const { processor, cores, memoryGib, kernel, node, openssl, packages, memoryDisk, load } = machine
  const disk = memoryDisk === null ? '' : `; state lies in memory (${memoryDisk}), so flushing costs nothing`
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
  return [
    `Machine: ${processor}, ${cores} ${cores === 1 ? 'core' : 'cores'}, ${memoryGib} GiB, ${kernel}; a flush of 4 KiB takes ${machine.flushMs.toFixed(2)} ms${disk}.`,
    `Software: Node ${node} (OpenSSL ${openssl}), ${versions.join(', ')}.`,
    ...(load > cores / 2
      ? [
          `**The machine was busy** (load ${load.toFixed(1)} on ${cores} cores): trust ratios and processor time, not the clock.`,
        ]
      : []),
  ]
}

function versionOf(name: string): string {
  const manifest = createRequire(import.meta.url)
    .resolve.paths(name)
    ?.map((path) => join(path, name))
  for (const folder of manifest ?? []) {
    try {
      return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version
    } catch {
      // Not in this folder of node_modules.
    }
  }
  return 'unknown'
}

function flushMs(folder: string): number {
  const path = join(folder, 'flush')
  const file = openSync(path, 'w')
  try {
    const block = new Uint8Array(4_096)
    return median(
      Array.from({ length: FLUSHES }, () => {
        const startMs = performance.now()
        writeSync(file, block)
        fdatasyncSync(file)
        return performance.now() - startMs
      }),
    )
  } finally {
    closeSync(file)
    rmSync(path)
  }
}
