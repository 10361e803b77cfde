import { Backoff } from './backoff.js'
import { MAX_POLLS_HANGING, POLL_LIMIT_MS, POLL_RETRY_FIRST_MS, POLL_RETRY_MOST_MS } from './constants.js'
import { Delivery } from './delivery.js'
import { Health } from './health.js'
import type { Sample, Sink, Source, SourceContext, SourceStatus } from './source.js'
import { thisMachine, type Machine } from './system-machine.js'
import { systemProbes, type Probe, type SystemReading } from './system-probes.js'

export interface SystemOptions {
  readonly name: string
  /** Put in front of every name. */
  readonly prefix: string
  /** From 1,000; the first round runs at the start. */
  readonly intervalMs: number
  readonly readings: readonly SystemReading[]
  readonly interfaces?: readonly string[]
  readonly stateFolder?: string
}

/** One kind of reading and how asking for it went. */
interface Part {
  readonly reading: SystemReading
  readonly probe: Probe
  readonly pauses: Backoff
  /** Of the poll under way; gone when it was given up. */
  current: symbol | undefined
  /** Resolves when that poll is over. */
  polled: Promise<void>
  /** Polls that have not settled, given up or not. */
  unsettled: number
  notBeforeMs: number
}

/**
 * The host itself: processor, memory, disks, network. Every kind of reading is asked for on its own, at one interval, so
 * that one that hangs or fails costs the others nothing. A poll never overlaps the one before; one that takes too long is
 * given up, and its late answer is thrown away, for it would be old values under a new time.
 */
export class SystemSource implements Source {
  readonly name: string
  readonly #options: SystemOptions
  readonly #context: SourceContext
  readonly #machine: Machine
  readonly #health: Health
  readonly #delivery: Delivery
  #parts: readonly Part[] = []
  #nextRoundMs = 0
  #intervalMs: number
  #cancelRound: (() => void) | undefined
  readonly #cancelLimits = new Set<() => void>()
  #run: symbol | undefined

  constructor(options: SystemOptions, context: SourceContext, machine: Machine = thisMachine) {
    this.name = options.name
    this.#options = options
    this.#context = context
    this.#machine = machine
    this.#intervalMs = options.intervalMs
    this.#health = new Health({ name: options.name, type: 'system' }, options.readings.length, context.clock)
    this.#delivery = new Delivery(context, this.#health)
  }

  start(sink: Sink): void {
    if (this.#run !== undefined) return
    this.#run = Symbol(this.name)
    this.#health.started(sink)
    this.#delivery.open(sink)
    const probes = systemProbes(this.#machine, this.#context.clock, {
      ...(this.#options.stateFolder === undefined ? {} : { stateFolder: this.#options.stateFolder }),
      ...(this.#options.interfaces === undefined ? {} : { interfaces: this.#options.interfaces }),
      onTooManyInterfaces: () =>
        this.#health.event(
          'info',
          'FW_SYSTEM_TOO_MANY_INTERFACES',
          'this machine has many network interfaces and only the first are reported: name those you want under interfaces',
        ),
    })
    this.#parts = this.#options.readings.map((reading) => ({
      reading,
      probe: probes[reading],
      pauses: new Backoff(POLL_RETRY_FIRST_MS, POLL_RETRY_MOST_MS),
      current: undefined,
      polled: Promise.resolve(),
      unsettled: 0,
      notBeforeMs: -Infinity,
    }))
    this.#intervalMs = this.#options.intervalMs
    this.#nextRoundMs = this.#context.clock.monoMs()
    this.#round()
  }

  async readNow(): Promise<void> {
    const asked = this.#parts.map((part) => {
      // One that is under way is as new; one that hangs is not asked again.
      if (part.current === undefined && part.unsettled < MAX_POLLS_HANGING) this.#poll(part)
      return part.polled
    })
    await Promise.all(asked)
  }

  setInterval(intervalMs: number): void {
    if (this.#run === undefined) return
    this.#intervalMs = intervalMs
    this.#cancelRound?.()
    this.#nextRoundMs = this.#context.clock.monoMs() + intervalMs
    this.#cancelRound = this.#context.timers.after(intervalMs, () => this.#round())
  }

  stop(): Promise<void> {
    this.#run = undefined
    this.#cancelRound?.()
    for (const cancel of this.#cancelLimits) cancel()
    this.#cancelLimits.clear()
    this.#parts = []
    this.#delivery.close()
    this.#health.stopped()
    // A poll that hangs in the kernel cannot be ended from here; its answer goes nowhere.
    return Promise.resolve()
  }

  status(): SourceStatus {
    return this.#health.status({
      accepted: this.#delivery.accepted,
      refused: this.#delivery.refused,
      discarded: this.#delivery.overflowed,
    })
  }

  #round(): void {
    const nowMs = this.#context.clock.monoMs()
    for (const part of this.#parts) {
      if (part.current === undefined && part.unsettled < MAX_POLLS_HANGING && nowMs >= part.notBeforeMs)
        this.#poll(part)
    }
    // On the grid of the interval, whatever the rounds took; rounds that a sleeping machine missed are not made up for.
    const intervalMs = this.#intervalMs
    const behindMs = nowMs - this.#nextRoundMs
    this.#nextRoundMs += intervalMs * (1 + Math.max(0, Math.floor(behindMs / intervalMs)))
    this.#cancelRound = this.#context.timers.after(this.#nextRoundMs - nowMs, () => this.#round())
  }

  #poll(part: Part): void {
    const poll = Symbol(part.reading)
    part.current = poll
    part.unsettled++
    let over: () => void = () => undefined
    part.polled = new Promise((resolve) => (over = resolve))
    const cancelLimit = this.#context.timers.after(POLL_LIMIT_MS, () => {
      this.#cancelLimits.delete(cancelLimit)
      part.current = undefined
      over()
      this.#later(part)
      this.#health.raise(
        part.reading,
        'FW_SYSTEM_POLL_TIMEOUT',
        `asking this machine for ${part.reading} takes longer than ${POLL_LIMIT_MS / 1_000} s; the other readings go on`,
      )
    })
    this.#cancelLimits.add(cancelLimit)

    const settled = (act: () => void): void => {
      part.unsettled--
      if (part.current !== poll) return
      part.current = undefined
      cancelLimit()
      this.#cancelLimits.delete(cancelLimit)
      if (this.#parts.includes(part)) act()
      over()
    }
    part.probe().then(
      (answer) => settled(() => this.#answered(part, answer)),
      (error: unknown) => settled(() => this.#failed(part, error)),
    )
  }

  #answered(part: Part, answer: readonly Sample[] | 'absent'): void {
    if (answer === 'absent') {
      this.#later(part)
      this.#health.note(
        part.reading,
        'FW_SYSTEM_ABSENT',
        `this machine tells no ${part.reading}; the other readings go on`,
      )
      return
    }
    part.pauses.reset()
    this.#health.clear(part.reading)
    const at = this.#context.clock.monoMs()
    for (const sample of answer) {
      if (typeof sample.value === 'number' && !Number.isFinite(sample.value)) continue
      this.#delivery.push({ ...sample, name: this.#options.prefix + sample.name, at })
    }
  }

  #failed(part: Part, error: unknown): void {
    this.#later(part)
    const reason = error instanceof Error ? error.message : String(error)
    this.#health.raise(
      part.reading,
      'FW_SYSTEM_POLL_FAILED',
      `this machine does not tell ${part.reading} (${reason.slice(0, 200)}); the other readings go on`,
    )
  }

  #later(part: Part): void {
    part.notBeforeMs = this.#context.clock.monoMs() + part.pauses.next()
  }
}
