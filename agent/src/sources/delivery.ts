import { MAX_SAMPLES_PENDING } from './constants.js'
import type { Health } from './health.js'
import type { Sample, Sink, SourceContext } from './source.js'
import { Tally } from './tally.js'

type Reason = 'refused' | 'no room'

/**
 * The way from a source into the sink: bounds what is handed over and not yet on disk, and turns refusals into counters and
 * an event at a bounded rate.
 */
export class Delivery {
  readonly #context: SourceContext
  readonly #health: Health
  readonly #tally: Tally<Reason>
  #sink: Sink | undefined
  #pending = 0
  #accepted = 0
  #refused = 0
  #overflowed = 0

  constructor(context: SourceContext, health: Health) {
    this.#context = context
    this.#health = health
    this.#tally = new Tally(context, (counts) => {
      const refused = counts.get('refused') ?? 0
      const noRoom = counts.get('no room') ?? 0
      health.event('warn', 'FW_SOURCE_NOT_ACCEPTED', 'readings could not be taken into the spool', {
        refused,
        noRoom,
      })
    })
  }

  open(sink: Sink): void {
    this.#sink = sink
  }

  close(): void {
    this.#tally.flush()
    this.#sink = undefined
  }

  get accepted(): number {
    return this.#accepted
  }

  get refused(): number {
    return this.#refused
  }

  /** Samples that `push` had to throw away. */
  get overflowed(): number {
    return this.#overflowed
  }

  /** Whether `count` more samples may be handed over now; when not, the disk is behind. */
  hasRoom(count: number): boolean {
    return this.#pending + count <= MAX_SAMPLES_PENDING
  }

  /** For a source that cannot wait: hands over, or discards and counts. The time of the sample is now unless it says. */
  push(sample: Sample): void {
    const sink = this.#sink
    if (sink === undefined) return
    if (!this.hasRoom(1)) {
      this.#overflowed++
      this.#tally.count('no room')
      return
    }
    const at = sample.at ?? this.#context.clock.monoMs()
    let answer: void | Promise<void>
    try {
      answer = sink.accept({ ...sample, at })
    } catch {
      this.#refuse()
      return
    }
    this.#accepted++
    this.#health.delivered(at)
    if (answer instanceof Promise) {
      this.#pending++
      answer.then(
        () => void this.#pending--,
        () => {
          this.#pending--
          this.#accepted--
          this.#refuse()
        },
      )
    }
  }

  #refuse(): void {
    this.#refused++
    // After the end there is nobody to tell, and a timer of the tally would outlive the source.
    if (this.#sink !== undefined) this.#tally.count('refused')
  }
}
