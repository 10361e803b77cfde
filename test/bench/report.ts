import type { Load, Measured, Path, Role } from './measure.js'
import { median, medianRatio } from './statistics.js'
import { BATCH_INTERVAL_MS, BATCH_READINGS, RATE_PER_S, TICK_MS } from './workload.js'

/** The three that are compared, in the order of the table. */
export const SYSTEMS = ['fieldwhisper', 'mqtt-1', 'mqtt-many'] as const
export type System = (typeof SYSTEMS)[number]

/** What was measured of each system under each load; a round that was cut short lacks some. */
export type Round = Readonly<Partial<Record<System, ReadonlyMap<Load, Measured>>>>

const NAMES: Readonly<Record<System, string>> = {
  fieldwhisper: 'Fieldwhisper',
  'mqtt-1': 'MQTT/1: over TLS, 1 reading a message',
  'mqtt-many': `MQTT/${BATCH_READINGS}: over TLS, ${BATCH_READINGS} readings a message`,
}
const PEERS = ['mqtt-1', 'mqtt-many'] as const
const RATIOS = ['÷ MQTT/1', `÷ MQTT/${BATCH_READINGS}`]
const ROLES: readonly Role[] = ['sender', 'broker', 'relay', 'subscriber']
const PATHS: readonly Path[] = ['direct', 'relay up', 'relay down']

export function reportLines(rounds: readonly Round[]): string[] {
  const has = (load: Load): boolean =>
    SYSTEMS.some((system) => rounds.some((round) => round[system]?.has(load)))
  return [
    ...(has('saturation') ? saturationLines(rounds) : []),
    ...(has('rate') ? rateLines(rounds) : []),
    ...notes(rounds),
  ]
}

function saturationLines(rounds: readonly Round[]): string[] {
  const heads = ['readings/s', ...RATIOS]
  const perSecond = ({ readingsPerS }: Measured): number => readingsPerS
  const rows = table(rounds, 'saturation', heads, (system) => [
    spread(rounds, system, 'saturation', perSecond),
    ...PEERS.map((peer) => ratio(rounds, system, peer, 'saturation', perSecond)),
  ])
  return ['## As fast as it goes', '', ...rows, '']
}

function rateLines(rounds: readonly Round[]): string[] {
  const rows = table(rounds, 'rate', ['readings/s', 'p50 ms', 'p99 ms'], (system) => [
    spread(rounds, system, 'rate', ({ readingsPerS }) => readingsPerS),
    spread(rounds, system, 'rate', ({ received }) => received.latencyMs?.p50 ?? NaN),
    spread(rounds, system, 'rate', ({ received }) => received.latencyMs?.p99 ?? NaN),
  ])
  return [`## ${RATE_PER_S} readings a second`, '', ...rows, '']
}

function table(
  rounds: readonly Round[],
  load: Load,
  heads: readonly string[],
  cells: (system: System) => readonly string[],
): string[] {
  const cpu = ['agent / publisher', 'gateway / broker', 'relay', 'subscriber', 'all'].map(
    (role) => `µs ${role}`,
  )
  const bytes = ['B direct', 'B agent–relay', 'B relay–gateway']
  const row = (list: readonly string[]): string => `| ${list.join(' | ')} |`
  const columns = [
    '',
    ...heads,
    ...cpu,
    ...(load === 'saturation' ? RATIOS.map((base) => `µs all ${base}`) : []),
    ...bytes,
  ]
  return [
    row(columns),
    row(columns.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...SYSTEMS.map((system) =>
      row([
        NAMES[system],
        ...cells(system),
        ...ROLES.map((role) => middle(rounds, system, load, ({ cpuUs }) => cpuUs[role] ?? NaN)),
        middle(rounds, system, load, allCpu),
        ...(load === 'saturation' ? PEERS.map((peer) => ratio(rounds, system, peer, load, allCpu)) : []),
        ...PATHS.map((path) => {
          const wire = middle(rounds, system, load, ({ bytes }) => bytes[path]?.wire ?? NaN)
          const payload = middle(rounds, system, load, ({ bytes }) => bytes[path]?.payload ?? NaN)
          return wire === NONE ? NONE : `${wire} (${payload})`
        }),
      ]),
    ),
  ]
}

function allCpu({ cpuUs }: Measured): number {
  return Object.values(cpuUs).reduce((sum, us) => sum + us, 0)
}

const NONE = '–'

function figures(
  rounds: readonly Round[],
  system: System,
  load: Load,
  figure: (measured: Measured) => number,
): number[] {
  return rounds.flatMap((round) => {
    const measured = round[system]?.get(load)
    return measured ? [figure(measured)] : []
  })
}

function middle(
  rounds: readonly Round[],
  system: System,
  load: Load,
  figure: (measured: Measured) => number,
): string {
  return number(median(figures(rounds, system, load, figure)))
}

/** The median, and in brackets the lowest and the highest. */
function spread(
  rounds: readonly Round[],
  system: System,
  load: Load,
  figure: (measured: Measured) => number,
): string {
  const values = figures(rounds, system, load, figure)
  const text = number(median(values))
  if (text === NONE || values.length < 2) return text
  return `${text} (${number(Math.min(...values))}–${number(Math.max(...values))})`
}

function ratio(
  rounds: readonly Round[],
  system: System,
  base: System,
  load: Load,
  figure: (measured: Measured) => number,
): string {
  const pairs = rounds.flatMap((round) => {
    const [value, other] = [round[system]?.get(load), round[base]?.get(load)]
    return value && other ? [[figure(value), figure(other)] as const] : []
  })
  return number(medianRatio(pairs))
}

function number(value: number): string {
  if (!Number.isFinite(value)) return NONE
  if (Math.abs(value) >= 100) return Math.round(value).toString()
  return value.toPrecision(value < 1 ? 2 : 3)
}

function notes(rounds: readonly Round[]): string[] {
  const ours = rounds.flatMap((round) => [...(round.fieldwhisper?.values() ?? [])])
  const said = (of: (measured: Measured) => Readonly<Record<string, number>>): string => {
    const sums = new Map<string, number>()
    for (const measured of ours) {
      for (const [what, count] of Object.entries(of(measured))) sums.set(what, (sums.get(what) ?? 0) + count)
    }
    const total = [...sums.values()].reduce((sum, count) => sum + count, 0)
    return [...sums].map(([what, count]) => `${what} ${((100 * count) / total).toFixed(1)} %`).join(', ')
  }
  const taken = middle(rounds, 'fieldwhisper', 'saturation', ({ counted, received }) => {
    return (counted['accepted'] ?? NaN) / received.readings
  })
  const historical = ours.reduce((sum, { received }) => sum + received.historical, 0)
  return [
    `Medians of ${rounds.length} ${rounds.length === 1 ? 'round' : 'rounds'}, in brackets lowest–highest; the order alternates; ratios are taken within a round. All processes share this machine, all networks are its loopback.`,
    '',
    '- **Who does what.** Fieldwhisper: agent (simulated source, spool on disk, sealing) → LAN link and relay at once → gateway (opens, commits to disk, acknowledges, publishes) → its embedded broker → subscriber, one message a reading. MQTT: mqtt.js → TLS 1.3 → aedes → TLS 1.3 → subscriber; nothing is on disk, there is one path, and the broker reads everything. The subscriber is the same program, mqtt.js with QoS 1, each payload parsed; with us it is on the same machine as the gateway and speaks plain TCP.',
    `- **Latency** is from a reading's \`time\` to the message at the subscriber, on one clock, in whole milliseconds. The source's tick of ${TICK_MS} ms is in it on all sides; so are our batch interval of ${BATCH_INTERVAL_MS} ms, the flush before a batch is sealed and the one before it is published, and with ${BATCH_READINGS} readings a message the ${(1_000 * BATCH_READINGS) / RATE_PER_S} ms in which it fills.`,
    '- **µs** is processor time of a process, all threads, user and system, for each reading at the subscriber (`/proc/PID/stat`, steps of 10 ms).',
    '- **B** is bytes for each reading, both directions, on an Ethernet: 66 for the headers of each segment and 1,448 at most in one; in brackets what TCP carries, TLS or WebSocket included (`ss -ti`). Beacons (31 bytes every 5 s) are not in it.',
    `- **At saturation** a batch and a message have ${BATCH_READINGS} readings. Our queues are bounded, so that what goes in is what comes out: the agent's spool (1 MiB, \`on_full: block\`) and the gateway's outbox (1 MiB) are full, readings wait in them for seconds (they still move: the agent took in ${taken} times what came out), and the LAN path offers again what waits for more than 2 s. The MQTT publisher has 1,000 messages (100 of ${BATCH_READINGS} readings) without PUBACK.`,
    `- **Our readings** came first by: ${said(({ received }) => received.paths) || 'none'}; clock: ${said(({ received }) => received.clocks) || 'none'}; ${historical} were marked historical.`,
  ]
}
