/**
 * `npm run bench`: what a reading costs and how long it takes, next to plain MQTT over TLS on the same machine in the same
 * run. It measures and never passes or fails by time.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Cleanup } from './cleanup.js'
import { describeMachine, machineLines } from './machine.js'
import type { Load, Measured, Timing } from './measure.js'
import { measurePeer } from './peer.js'
import { reportLines, SYSTEMS, type Round, type System } from './report.js'
import { measureSite } from './site.js'
import { BATCH_READINGS } from './workload.js'

const HELP = `Usage: npm run bench -- [--quick] [--only rate|saturation] [--json FILE] [--state FOLDER] [--profile FOLDER]

  --quick          one short round, 45 s at most (else three rounds, 3 min at most)
  --only LOAD      only the fixed rate, or only saturation
  --json FILE      everything measured, every round
  --state FOLDER   where agent, gateway and relay keep their state for the time of the run; absent: the temporary folder
  --profile FOLDER processor profiles of agent, gateway and relay, to be opened with Chrome's developer tools; they cost time

Example: npm run bench -- --quick --json bench.json
`

interface Plan {
  readonly rounds: number
  readonly timing: Timing
  /** The whole run, whatever happens. A round that would not fit any more is left out. */
  readonly limitMs: number
}

const FULL: Plan = { rounds: 3, timing: { warmUpMs: 1_500, windowMs: 4_000 }, limitMs: 180_000 }
const QUICK: Plan = { rounds: 1, timing: { warmUpMs: 1_000, windowMs: 2_000 }, limitMs: 45_000 }
const LOADS: readonly Load[] = ['rate', 'saturation']

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'string' },
    state: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
const loads = LOADS.filter((load) => options.only === undefined || load === options.only)

class TimeOver extends Error {}

if (options.help) process.stdout.write(HELP)
else if (loads.length === 0) {
  process.stderr.write(`--only takes ${LOADS.join(' or ')}\n`)
  process.exitCode = 2
} else await main(options.quick ? QUICK : FULL)

async function main(plan: Plan): Promise<void> {
  const startMs = performance.now()
  const cleanup = new Cleanup()
  const ended = new Promise<never>((_resolve, reject) => {
    const limit = setTimeout(() => reject(new TimeOver('The time is over.')), plan.limitMs)
    cleanup.teardown(() => clearTimeout(limit))
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(signal)))
  })
  const folder = mkdtempSync(join(options.state ?? tmpdir(), 'fw-bench-'))
  cleanup.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const machine = describeMachine(folder)
  const rounds: Round[] = []
  let cutShort = false
  console.log(`${machineLines(machine).join('\n')}\n`)
  try {
    await Promise.race([measureRounds(plan, cleanup, folder, rounds), ended])
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    // A slow machine is no fault, as long as there is something to compare.
    if (!(error instanceof TimeOver) || !rounds.some(isComplete)) process.exitCode = 1
    cutShort = true
  } finally {
    await cleanup.run()
  }
  if (rounds.some((round) => Object.keys(round).length > 0)) console.log(reportLines(rounds).join('\n'))
  if (options.json !== undefined) {
    const plain = rounds.map((round) =>
      Object.fromEntries(SYSTEMS.map((system) => [system, Object.fromEntries(round[system] ?? [])])),
    )
    const seconds = (performance.now() - startMs) / 1_000
    const content = { machine, quick: options.quick, seconds, rounds: plain }
    writeFileSync(options.json, `${JSON.stringify(content, null, 2)}\n`)
  }
  // What was cut short may still wait for an answer of a program that has ended.
  if (cutShort) process.exit()
}

function isComplete(round: Round): boolean {
  return SYSTEMS.every((system) => round[system])
}

/** Adds to `rounds` as it goes, so that an early end keeps what there is. */
async function measureRounds(plan: Plan, all: Cleanup, folder: string, rounds: Round[]): Promise<void> {
  const startMs = performance.now()
  let longestMs = 0
  for (let number = 1; number <= plan.rounds; number++) {
    const beganMs = performance.now()
    if (beganMs - startMs + longestMs > plan.limitMs) {
      process.stderr.write(`This machine is slow: ${rounds.length} of ${plan.rounds} rounds.\n`)
      return
    }
    // Every system is first, middle and last once.
    const order = SYSTEMS.map((_, index) => SYSTEMS[(index + number - 1) % SYSTEMS.length]!)
    const round: Partial<Record<System, ReadonlyMap<Load, Measured>>> = {}
    rounds.push(round)
    for (const system of order) {
      process.stderr.write(`round ${number} of ${plan.rounds}: ${system}\n`)
      round[system] = await alone(all, (cleanup) =>
        measureSystem(system, cleanup, plan, join(folder, `${number}`)),
      )
    }
    longestMs = Math.max(longestMs, performance.now() - beganMs)
  }
}

function measureSystem(
  system: System,
  cleanup: Cleanup,
  { timing }: Plan,
  folder: string,
): Promise<ReadonlyMap<Load, Measured>> {
  switch (system) {
    case 'fieldwhisper':
      return measureSite(cleanup, {
        folder,
        loads,
        timing,
        ...(options.profile !== undefined && { profiles: resolve(options.profile) }),
      })
    case 'mqtt-1':
      return measurePeer(cleanup, { readingsAMessage: 1, loads, timing })
    case 'mqtt-many':
      return measurePeer(cleanup, { readingsAMessage: BATCH_READINGS, loads, timing })
  }
}

/** One system at a time; an early end of the whole run cleans up behind it too. */
async function alone<T>(all: Cleanup, work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup()
  all.teardown(() => cleanup.run())
  try {
    return await work(cleanup)
  } finally {
    await cleanup.run()
  }
}
