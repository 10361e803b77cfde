import type { Clock, Reporter } from '@fieldwhisper/host'
import type { ReadingQuality, ReadingValue } from '@fieldwhisper/protocol'
import type { Timers } from './timers.js'

/** What a sensor said once: the part of a reading that its source knows. */
export interface Sample {
  /** 1 to 128 bytes of UTF-8, the same for every sample of one series. */
  readonly name: string
  /** Symbol from the SenML units registry (RFC 8428 section 12.1, RFC 8798), at most 32 bytes. */
  readonly unit?: string
  readonly value: ReadingValue
  /** Absent: good. */
  readonly quality?: ReadingQuality
  /** When it was measured, in milliseconds of `Clock.monoMs`. Absent: now. */
  readonly at?: number
}

/**
 * Where a source hands its samples over. A promise returned by `accept` resolves when the sample is safe on disk and
 * rejects when it was refused; the source counts a refusal and goes on.
 */
export interface Sink extends Reporter {
  accept(sample: Sample): void | Promise<void>
}

/**
 * Something that measures. The constructor does nothing that can be felt outside; `start` returns at once, also when the
 * sensor is not there. A source that fails says so once, shows quality `bad`, tries again with growing pauses, never throws
 * into its caller and never repeats an old value under a new time.
 */
export interface Source {
  /** Unique among the sources of this agent. */
  readonly name: string
  start(sink: Sink): Promise<void> | void
  /** Resolves when nothing of the source runs any more; no sample is handed over after that. */
  stop(): Promise<void>
  status(): SourceStatus
  /** Measures now, beside its interval; resolves when what it said was handed over. Absent: it sends by itself. */
  readNow?(): Promise<void>
  /** Measures at this interval until it is started again. Absent: it has none. */
  setInterval?(intervalMs: number): void
}

export interface SourceStatus {
  readonly name: string
  readonly type: string
  readonly state: 'stopped' | 'running' | 'failing'
  /** `good`: delivers; `uncertain`: nothing delivered yet, or a part of it fails; `bad`: all of it fails. */
  readonly quality: ReadingQuality
  /** `monoMs` of the last change of `state`. */
  readonly sinceMs: number
  /** `monoMs` of the newest sample that was taken. */
  readonly lastSampleMs?: number
  /** Samples handed over and not refused. */
  readonly accepted: number
  /** Samples the sink refused. */
  readonly refused: number
  /** Inputs that became no sample: lines that are no readings, samples that nobody had room for. */
  readonly discarded: number
  readonly problems: readonly SourceProblem[]
}

export interface SourceProblem {
  readonly code: string
  readonly message: string
}

/** What a source needs from its process; tests put a virtual clock in. */
export interface SourceContext {
  readonly clock: Pick<Clock, 'monoMs'>
  readonly timers: Timers
}
