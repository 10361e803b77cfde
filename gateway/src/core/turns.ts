import { asError, systemCode, type Store } from '@fieldwhisper/host'
import { PACKET_HELLO } from '@fieldwhisper/protocol'
import { GatewayError } from '../errors.js'
import {
  ARRIVAL_OVERHEAD_BYTES,
  COMMIT_RETRY_MS,
  LATE_COMMIT_MS,
  MAX_COMMIT_BYTES,
  MAX_COMMIT_PACKETS,
  MAX_TURN_WRITES,
} from './constants.js'
import { Line } from './line.js'
import type { Ports, Route } from './ports.js'
import { reserve, type Session } from './session.js'
import { Turn } from './turn.js'

/** A packet that nobody has opened yet. */
export interface Arrival {
  readonly route: Route
  readonly packet: Uint8Array
}

/** Something to do in a turn; what it returns has something to say afterwards. */
export type Task = (turn: Turn) => Session | undefined

interface TurnsOptions {
  /** What may wait unopened. */
  readonly waitingBytes: number
  readonly store: Store
  readonly ports: Pick<Ports, 'committed' | 'fatal'>
  readonly monoMs: () => number
  readonly running: () => number
  /** Data waits where there is no room for it; hellos do not. */
  readonly dataWaits: () => boolean
  /** The disk is full: frees what is kept for that. False where nothing is. */
  readonly freeBallast: () => boolean
  readonly take: (turn: Turn, arrival: Arrival) => Session | undefined
  readonly lives: (session: Session) => boolean
  /** After the commit. */
  readonly answer: (sessions: ReadonlySet<Session>) => void
}

interface Work {
  readonly turn: Turn
  readonly touched: ReadonlySet<Session>
}

/**
 * One turn at a time (docs/decisions/004-one-turn-at-a-time.md):
 *
 *   1 take    what has arrived: tasks, packets
 *   2 apply   open, note in the ledger, put into the outbox: in memory, collected as writes
 *   3 commit  one transaction, flushed
 *   4 answer  acknowledge, and let relays forget what is committed
 *
 *   idle ──something to do──▶ busy ──nothing left, or nothing was written──▶ idle
 *                              │ └──disk full──▶ stuck ──1 s──▶ busy, with the same writes
 *                              └──disk failed, or `stop`──▶ ended
 */
export class Turns {
  readonly #options: TurnsOptions
  readonly #tasks = new Line<{ readonly run: Task; readonly refuse?: (error: Error) => void }>()
  readonly #arrivals = new Line<Arrival>()
  /** Data that came to the head of the line while there was no room for it. */
  readonly #heldBack = new Line<Arrival>()
  readonly #idle: (() => void)[] = []
  #waitingBytes = 0
  #busy = false
  #stuck: (Work & { readonly retryAt: number; readonly reason: Error }) | undefined
  #ended: Error | undefined
  #maxPackets = MAX_COMMIT_PACKETS

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /** The disk is full: nothing is opened until it has room. */
  get stuck(): boolean {
    return this.#stuck !== undefined
  }

  /** What unopened packets take in memory. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  task(run: Task): void {
    if (this.#ended) return
    this.#tasks.push({ run })
    this.#wake()
  }

  /** Runs an operator's command; resolves when it is on disk, rejects with what it throws or why the disk did not take it. */
  command<T>(run: (turn: Turn) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const reason = this.#ended ?? this.#stuck?.reason
      if (reason) return reject(reason)
      this.#tasks.push({
        refuse: reject,
        run: (turn) => {
          try {
            const result = run(turn)
            turn.then(() => resolve(result))
            turn.otherwise(reject)
          } catch (error) {
            reject(asError(error))
          }
          return undefined
        },
      })
      this.#wake()
    })
  }

  /** False where no more can wait. */
  arrive(arrival: Arrival): boolean {
    const bytes = costOf(arrival)
    if (this.#ended || this.#waitingBytes + bytes > this.#options.waitingBytes) return false
    this.#waitingBytes += bytes
    this.#arrivals.push(arrival)
    this.#wake()
    return true
  }

  /** Looks again: the disk may have room, the outbox may have been emptied. */
  tick(): void {
    const waiting = this.#tasks.length + this.#arrivals.length + this.#heldBack.length
    if (this.#stuck || waiting > 0) this.#wake()
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#busy) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** What is opened is committed; what waits is not opened any more. */
  async stop(): Promise<void> {
    this.#end(new GatewayError('FW_GATEWAY_STOPPED', 'the gateway is ending: repeat the command afterwards'))
    await this.settled()
  }

  #wake(): void {
    if (this.#busy || this.#ended) return
    this.#busy = true
    this.#run().catch((error: unknown) => {
      this.#end(asError(error))
      this.#rest()
      this.#options.ports.fatal(error)
    })
  }

  async #run(): Promise<void> {
    // What arrives in the same moment shares a commit.
    await Promise.resolve()
    const { ports, monoMs, running, answer } = this.#options
    for (;;) {
      const stuck = this.#stuck
      if (this.#ended || (stuck && monoMs() < stuck.retryAt)) return this.#rest()
      const work = stuck ?? this.#apply(new Turn(monoMs(), running()))
      if (!work) return this.#rest()
      const { turn, touched } = work
      const wrote = turn.writes.length > 0
      if (wrote && !(await this.#commit(work))) continue
      ports.committed(turn.writes)
      turn.finish()
      answer(touched)
      // A turn that did not wait for the disk gives the sockets their time before the next one.
      if (!wrote) return this.#rest()
    }
  }

  /** Nothing to do. Said in the same step that found nothing, so that no arrival falls in between. */
  #rest(): void {
    this.#busy = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#stuck?.turn.refuse(error)
    for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) task.refuse?.(error)
  }

  /** Stages 1 and 2. Undefined where there is nothing to do. */
  #apply(turn: Turn): Work | undefined {
    const { take, lives } = this.#options
    const touched = new Set<Session>()
    let [done, packets, bytes] = [0, 0, 0]
    const note = (session: Session | undefined): void => {
      done++
      if (session) touched.add(session)
    }
    const hasRoom = (): boolean =>
      turn.size < MAX_TURN_WRITES && packets < this.#maxPackets && bytes < MAX_COMMIT_BYTES
    // What tasks leave behind, such as acknowledgements that are due, counts like packets.
    for (; this.#tasks.length > 0 && hasRoom(); packets++) note(this.#tasks.shift()!.run(turn))
    while (hasRoom()) {
      const arrival = this.#nextArrival()
      if (!arrival) break
      packets++
      bytes += arrival.packet.length
      this.#waitingBytes -= costOf(arrival)
      note(take(turn, arrival))
    }
    if (done === 0) return undefined
    for (const session of touched) if (lives(session)) reserve(turn, session, 1)
    return { turn, touched }
  }

  /** In the order in which they came; while there is no room for data, hellos pass by it. */
  #nextArrival(): Arrival | undefined {
    const full = this.#options.dataWaits()
    if (!full && this.#heldBack.length > 0) return this.#heldBack.shift()
    for (;;) {
      const arrival = this.#arrivals.shift()
      if (!arrival || !full || isHello(arrival)) return arrival
      this.#heldBack.push(arrival)
    }
  }

  /** Stage 3. False where the disk is full; then the same turn is tried again, at once where ballast could be freed. */
  async #commit({ turn, touched }: Work): Promise<boolean> {
    const { store, monoMs, freeBallast } = this.#options
    const began = monoMs()
    try {
      await store.commit(turn.writes)
    } catch (error) {
      const reason = asError(error)
      const isFull = systemCode(error) === 'FW_STORE_FULL'
      const freed = isFull && freeBallast()
      if (!freed) turn.refuse(reason)
      if (!isFull) throw reason
      this.#stuck = { turn, touched, reason, retryAt: monoMs() + (freed ? 0 : COMMIT_RETRY_MS) }
      return false
    }
    this.#stuck = undefined
    const late = monoMs() - began > LATE_COMMIT_MS
    this.#maxPackets = late
      ? Math.max(1, this.#maxPackets >>> 1)
      : Math.min(MAX_COMMIT_PACKETS, this.#maxPackets * 2)
    return true
  }
}

function isHello({ packet }: Arrival): boolean {
  return ((packet[0] ?? 0) & 0x0f) === PACKET_HELLO
}

function costOf({ packet }: Arrival): number {
  return packet.length + ARRIVAL_OVERHEAD_BYTES
}
