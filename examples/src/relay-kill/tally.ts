/**
 * What arrived, counted at the subscriber. Every agent numbers its readings 0, 1, 2, ..., so that a lost one shows as a
 * missing number and a repeated one as a number that comes twice. Times are Unix milliseconds.
 */

export interface Arrival {
  readonly agent: string
  readonly number: number
  /** The reading's id; a repeat must carry the same. */
  readonly id: string
  readonly path: 'lan' | 'relay'
  readonly madeMs: number
  readonly atMs: number
}

export interface Row {
  readonly title: string
  readonly seconds: number
  readonly sent: number
  readonly received: number
  readonly lost: number
  readonly repeated: number
  readonly byLan: number
  readonly byRelay: number
  /** Longest time without a reading of any one agent. */
  readonly silenceMs: number
}

interface Part {
  readonly title: string
  readonly startMs: number
}

interface Known {
  readonly madeMs: number
  readonly id: string
  readonly path: 'lan' | 'relay'
  repeats: number
}

export class Tally {
  readonly #readings = new Map<string, Map<number, Known>>()
  readonly #arrivals = new Map<string, number[]>()
  readonly #parts: Part[] = []
  /** Repeats under another id: these would be counted twice by whoever goes by ids. */
  renamed = 0

  constructor(agents: readonly string[]) {
    for (const agent of agents) {
      this.#readings.set(agent, new Map())
      this.#arrivals.set(agent, [])
    }
  }

  /** A new phase begins; readings belong to the phase in which they were made. */
  begin(title: string, startMs: number): void {
    this.#parts.push({ title, startMs })
  }

  arrived({ agent, number, id, path, madeMs, atMs }: Arrival): void {
    const readings = this.#readings.get(agent)
    if (!readings) return
    this.#arrivals.get(agent)?.push(atMs)
    const known = readings.get(number)
    if (!known) {
      readings.set(number, { madeMs, id, path, repeats: 0 })
      return
    }
    known.repeats += 1
    if (known.id !== id) this.renamed += 1
  }

  /** Different readings so far, of one agent or of all. */
  received(agent?: string): number {
    if (agent !== undefined) return this.#readings.get(agent)?.size ?? 0
    return [...this.#readings.values()].reduce((sum, readings) => sum + readings.size, 0)
  }

  /** When something of an agent arrived last; 0 before the first. */
  lastMs(agent: string): number {
    return this.#arrivals.get(agent)?.at(-1) ?? 0
  }

  /** Of so many readings of each agent, those that have not arrived. */
  missing(sent: ReadonlyMap<string, number>): number {
    let missing = 0
    for (const [agent, readings] of this.#readings) {
      for (let number = 0; number < (sent.get(agent) ?? 0); number += 1)
        missing += readings.has(number) ? 0 : 1
    }
    return missing
  }

  /** Longest silence of any agent from `fromMs` until now, the running one included. */
  silenceMs(fromMs: number, nowMs: number): number {
    return Math.max(
      0,
      ...[...this.#arrivals.values()].map((times) => longest(gaps([...times, nowMs]), fromMs, nowMs)),
    )
  }

  /** One row a phase and one for all; `sent` says how many readings each agent made. */
  rows(sent: ReadonlyMap<string, number>, endMs: number): Row[] {
    const parts = this.#parts.map(({ title, startMs }, index) => {
      const untilMs = this.#parts[index + 1]?.startMs ?? endMs
      return {
        title,
        startMs,
        untilMs,
        sent: 0,
        received: 0,
        lost: 0,
        repeated: 0,
        byLan: 0,
        byRelay: 0,
        silenceMs: 0,
      }
    })
    for (const [agent, readings] of this.#readings) {
      let madeMs = 0
      for (let number = 0; number < (sent.get(agent) ?? 0); number += 1) {
        const known = readings.get(number)
        // A lost reading was made about when the one before it was.
        madeMs = known?.madeMs ?? madeMs
        const part = parts.findLast(({ startMs }) => startMs <= madeMs) ?? parts[0]
        if (part) count(part, known)
      }
      for (const gap of gaps(this.#arrivals.get(agent) ?? [])) addSilence(gap, parts)
    }
    const rows = parts.map(({ startMs, untilMs, ...row }) => ({
      ...row,
      seconds: (untilMs - startMs) / 1_000,
    }))
    return [...rows, inAll(rows)]
  }
}

interface Gap {
  readonly fromMs: number
  readonly untilMs: number
}

function gaps(times: readonly number[]): Gap[] {
  return times.slice(1).map((untilMs, index) => ({ fromMs: times[index] ?? untilMs, untilMs }))
}

function longest(all: readonly Gap[], fromMs: number, untilMs: number): number {
  return Math.max(
    0,
    ...all.map((gap) => (gap.untilMs > fromMs && gap.fromMs < untilMs ? gap.untilMs - gap.fromMs : 0)),
  )
}

/** A silence counts whole in the phase in which most of it lay, and in others with what lay there. */
function addSilence(
  gap: Gap,
  parts: readonly { startMs: number; untilMs: number; silenceMs: number }[],
): void {
  const shares = parts.map(
    ({ startMs, untilMs }) => Math.min(gap.untilMs, untilMs) - Math.max(gap.fromMs, startMs),
  )
  const most = Math.max(...shares)
  parts.forEach((part, index) => {
    const share = shares[index] ?? 0
    if (share <= 0) return
    part.silenceMs = Math.max(part.silenceMs, share === most ? gap.untilMs - gap.fromMs : share)
  })
}

type Counts = { -readonly [K in 'sent' | 'received' | 'lost' | 'repeated' | 'byLan' | 'byRelay']: number }

function count(part: Counts, known: Known | undefined): void {
  part.sent += 1
  if (!known) {
    part.lost += 1
    return
  }
  part.received += 1
  part.repeated += known.repeats
  part.byLan += known.path === 'lan' ? 1 : 0
  part.byRelay += known.path === 'relay' ? 1 : 0
}

function inAll(rows: readonly Row[]): Row {
  const sum = (key: keyof Omit<Row, 'title'>): number => rows.reduce((total, row) => total + row[key], 0)
  return {
    title: 'in all',
    seconds: sum('seconds'),
    sent: sum('sent'),
    received: sum('received'),
    lost: sum('lost'),
    repeated: sum('repeated'),
    byLan: sum('byLan'),
    byRelay: sum('byRelay'),
    silenceMs: Math.max(0, ...rows.map((row) => row.silenceMs)),
  }
}
