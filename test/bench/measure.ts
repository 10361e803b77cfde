import { setTimeout as pass } from 'node:timers/promises'
import { until } from '../support/until.js'
import { connections, cpuMs, rssMib, traffic, type Connection, type Traffic } from './meters.js'
import type { Received } from './programs/subscriber.js'
import type { Worker } from './worker.js'

export type Role = 'sender' | 'broker' | 'relay' | 'subscriber'
export type Path = 'direct' | 'relay up' | 'relay down'
/** At a fixed rate, or as fast as it goes. */
export type Load = 'rate' | 'saturation'

export interface Timing {
  /** Until code is compiled and queues have found their length. */
  readonly warmUpMs: number
  readonly windowMs: number
}

export interface Subject {
  readonly subscriber: Worker
  /** Process ids. */
  readonly processes: Readonly<Partial<Record<Role, number>>>
  /** Which path a connection of these processes belongs to, each seen from one end only. */
  readonly pathOf: (connection: Connection) => Path | undefined
  /** Resolves when the warm-up may begin. */
  readonly ready?: () => Promise<void>
  /** Counters of the programs themselves. */
  readonly counters?: () => Promise<Readonly<Record<string, number>>>
}

export interface Measured {
  readonly readingsPerS: number
  readonly received: Received
  /** Processor time in microseconds a reading. */
  readonly cpuUs: Readonly<Partial<Record<Role, number>>>
  /** Bytes a reading. Empty where there is no `ss`. */
  readonly bytes: Readonly<Partial<Record<Path, Traffic>>>
  readonly rssMib: Readonly<Partial<Record<Role, number>>>
  /** By how much the programs' own counters grew. */
  readonly counted: Readonly<Record<string, number>>
}

const FIRST_READING_WITHIN_MS = 20_000

/** Waits for the first reading, warms up, and measures one window. */
export async function measure(subject: Subject, load: Load, timing: Timing): Promise<Measured> {
  const { subscriber, processes } = subject
  const before = await subscriber.ask<number>('total')
  await until(async () => (await subscriber.ask<number>('total')) > before, {
    withinMs: FIRST_READING_WITHIN_MS,
    what: 'the first reading at the subscriber',
  })
  await subject.ready?.()
  await pass(timing.warmUpMs)

  const pids = Object.values(processes)
  const countersBefore = (await subject.counters?.()) ?? {}
  const connectionsBefore = await connections(pids)
  await subscriber.ask('begin', { latency: load === 'rate' })
  const cpuBefore = each(processes, cpuMs)
  await pass(timing.windowMs)
  const received = await subscriber.ask<Received>('end')
  const cpuAfter = each(processes, cpuMs)
  const connectionsAfter = await connections(pids)
  const countersAfter = (await subject.counters?.()) ?? {}

  const { readings, seconds } = received
  const bytes: Partial<Record<Path, Traffic>> = {}
  for (const path of ['direct', 'relay up', 'relay down'] as const) {
    const ofPath = (list: readonly Connection[] = []): Connection[] =>
      list.filter((connection) => subject.pathOf(connection) === path)
    if (ofPath(connectionsAfter).length === 0) continue
    const { payload, wire } = traffic(ofPath(connectionsBefore), ofPath(connectionsAfter))
    bytes[path] = { payload: payload / readings, wire: wire / readings }
  }
  return {
    readingsPerS: readings / seconds,
    received,
    cpuUs: each(processes, (_pid, role) => ((cpuAfter[role]! - cpuBefore[role]!) * 1_000) / readings),
    bytes,
    rssMib: each(processes, rssMib),
    counted: each(countersAfter, (after, name) => after - (countersBefore[name] ?? 0)),
  }
}

function each<T extends Readonly<Partial<Record<string, number>>>>(
  numbers: T,
  figure: (value: number, key: keyof T) => number,
): { [K in keyof T]: number } {
  const entries = Object.entries(numbers).map(([key, value]) => [key, figure(value!, key)])
  return Object.fromEntries(entries) as { [K in keyof T]: number }
}
