import type { Level } from '@fieldwhisper/host'
import type { Sample } from './sources/source.js'

/** One alarm: raised while a reading is beyond a limit for `holdMs`, over when it is back behind `clear`. */
export interface AlarmRule {
  readonly name: string
  readonly reading: string
  readonly side: 'above' | 'below'
  readonly limit: number
  /** On the quiet side of `limit`, or equal to it. */
  readonly clear: number
  readonly holdMs: number
}

export interface AlarmNews {
  readonly level: Level
  readonly code: string
  readonly message: string
}

/** What follows from one value: readings to be sealed before everything else, and a line for the log. */
export interface AlarmStep {
  readonly samples: readonly Sample[]
  readonly news: AlarmNews | undefined
}

/**
 *             beyond the limit           for hold
 *   quiet ───────────────────▶ waiting ──────────▶ raised
 *     ▲ ▲                         │                  │
 *     │ └── not beyond it ────────┘                  │
 *     └───────────────── back behind clear ──────────┘
 *
 * `unknown` until the first value: nobody knows what it was before the process started.
 */
type State =
  | { readonly state: 'unknown' | 'quiet' }
  | { readonly state: 'waiting'; readonly sinceMs: number; readonly said: boolean }
  | { readonly state: 'raised'; readonly acknowledged: boolean }

const NOTHING: AlarmStep = { samples: [], news: undefined }

/** The alarms of an agent, fed with everything that its sources measure. */
export class Alarms {
  readonly #rules: ReadonlyMap<string, readonly AlarmRule[]>
  readonly #states = new Map<string, State>()

  constructor(rules: readonly AlarmRule[]) {
    const byReading = new Map<string, AlarmRule[]>()
    for (const rule of rules) {
      byReading.set(rule.reading, [...(byReading.get(rule.reading) ?? []), rule])
      this.#states.set(rule.name, { state: 'unknown' })
    }
    this.#rules = byReading
  }

  get names(): readonly string[] {
    return [...this.#states.keys()]
  }

  /** A bad value and one that is no number say nothing. */
  observe({ name, value, quality }: Sample, at: number): AlarmStep[] {
    const rules = this.#rules.get(name)
    if (!rules || typeof value !== 'number' || quality === 'bad') return []
    return rules.map((rule) => this.#value(rule, value, at))
  }

  /** Somebody has seen it. Undefined where it is not raised, or there is no such alarm. */
  acknowledge(name: string, at: number): AlarmStep | undefined {
    const known = this.#states.get(name)
    if (known?.state !== 'raised') return undefined
    this.#states.set(name, { state: 'raised', acknowledged: true })
    return { samples: [acknowledged(name, true, at)], news: undefined }
  }

  #value(rule: AlarmRule, value: number, at: number): AlarmStep {
    const { name, holdMs } = rule
    const known = this.#states.get(name) ?? { state: 'unknown' }
    if (known.state === 'raised') return isBehind(rule, value) ? this.#over(rule, at) : NOTHING
    const said = known.state === 'quiet' || (known.state === 'waiting' && known.said)
    if (!isBeyond(rule, value)) {
      this.#states.set(name, { state: 'quiet' })
      return said ? NOTHING : { samples: [raised(name, false, at)], news: undefined }
    }
    const sinceMs = known.state === 'waiting' ? known.sinceMs : at
    if (at - sinceMs >= holdMs) return this.#raise(rule, at)
    this.#states.set(name, { state: 'waiting', sinceMs, said })
    return NOTHING
  }

  #raise({ name, reading, side }: AlarmRule, at: number): AlarmStep {
    this.#states.set(name, { state: 'raised', acknowledged: false })
    const message = `The alarm ${name} is raised: ${reading} is ${side} its limit.`
    return {
      samples: [raised(name, true, at), acknowledged(name, false, at)],
      news: { level: 'warn', code: 'FW_ALARM_RAISED', message },
    }
  }

  #over({ name }: AlarmRule, at: number): AlarmStep {
    this.#states.set(name, { state: 'quiet' })
    const news = { level: 'info', code: 'FW_ALARM_OVER', message: `The alarm ${name} is over.` } as const
    return { samples: [raised(name, false, at)], news }
  }
}

function isBeyond({ side, limit }: AlarmRule, value: number): boolean {
  return side === 'above' ? value > limit : value < limit
}

function isBehind({ side, clear, limit }: AlarmRule, value: number): boolean {
  // Where there is no hysteresis, the limit itself is not beyond it.
  return side === 'above'
    ? value < clear || (clear === limit && value === limit)
    : value > clear || (clear === limit && value === limit)
}

function raised(name: string, value: boolean, at: number): Sample {
  return { name: `alarm/${name}`, value, at }
}

function acknowledged(name: string, value: boolean, at: number): Sample {
  return { name: `alarm/${name}/acknowledged`, value, at }
}
