import {
  errorText,
  TokenBucket,
  type Clock,
  type Entry,
  type Reporter,
  type Store,
  type Write,
} from '@fieldwhisper/host'
import { asArray, asUint, decodeCbor, encodeCbor } from '@fieldwhisper/protocol'
import { BRIDGE_RECORD_VERSION, MAX_ITEMS_PER_TURN, PUBLISH_RETRY_MS } from './constants.js'
import { MqttOutput, type ExternalStatus, type MqttOutputOptions } from './mqtt-output.js'
import {
  decodeItem,
  OUTBOX_STATE_TABLE,
  OUTBOX_TABLE,
  sequenceKey,
  sequenceOf,
  type OutboxEntry,
} from './outbox-entry.js'
import type { OutboxMarks } from './outbox-marks.js'
import { lastOutboxSequence, newestSequence } from './outbox-position.js'
import type { Replay } from './outbox-queue.js'
import { OutboxReader } from './outbox-reader.js'
import type { DecodeBatch } from './outbox-source.js'
import { readingPayload } from './payload.js'
import type { CurrentPlace } from './retained.js'
import type { Message } from './topics.js'
import { EdgeNode, type EdgeOptions } from '../sparkplug/edge.js'
import type { EdgeCommand, EdgeEffect, EdgeEvent, Publish } from '../sparkplug/events.js'
import type { EdgeReading } from '../sparkplug/values.js'

export interface SparkplugLaneOptions {
  readonly store: Store
  readonly edge: Omit<EdgeOptions, 'bdSeq'>
  readonly broker: Omit<MqttOutputOptions, 'will' | 'reporter' | 'monoMs'>
  readonly marks: Pick<OutboxMarks, 'through' | 'sent'>
  readonly decode: DecodeBatch
  /** What births are to tell before it is read anew, in the order of the outbox. */
  readonly current: readonly CurrentPlace[]
  /** At most so many readings a second of those that waited for the broker; the order is always theirs. */
  readonly replay: Pick<Replay, 'rate'>
  readonly reporter: Reporter
  readonly clock: Pick<Clock, 'monoMs' | 'wallMs'>
  /** A host wants a value written on a device. */
  readonly command: (command: EdgeCommand) => void
}

export interface SparkplugStatus {
  readonly broker: ExternalStatus
  /** idle, dialling, waiting (for its primary host), born or leaving. */
  readonly state: string
  /** Items of the outbox that a host's broker does not have yet: handed over and not proven. */
  readonly unproven: number
}

const BDSEQ_KEY = Buffer.from('sparkplug bdSeq')

/**
 * The outbox as a Sparkplug edge node: its own connection, its own reader and its own mark. The edge node says what is to be done, this
 * does it: items go to it in order while it takes them, and those that a fence has proven are marked. A broken connection puts the
 * reader back to the mark.
 */
export class SparkplugLane {
  readonly #options: SparkplugLaneOptions
  readonly #edge: EdgeNode
  readonly #output: MqttOutput
  readonly #reader: OutboxReader
  readonly #subscribed = new Set<string>()
  /** Handed over and not proven, oldest first. */
  readonly #unproven: { readonly sequence: number; readonly bytes: number }[] = []
  readonly #bucket: TokenBucket
  /** Items up to here were there before the broker was. */
  #waitedThrough = -1
  #restUntilMs = -Infinity
  /** Connections: an answer of one that is gone means nothing. */
  #round = 0
  #timer: NodeJS.Timeout | undefined
  #wake: NodeJS.Timeout | undefined
  #stopped = false

  /** Throws GatewayError `FW_SPARKPLUG_ID_INVALID`, `FW_TOPIC_NAME_INVALID`. */
  constructor(options: SparkplugLaneOptions) {
    this.#options = options
    const { store, edge, broker, marks, replay, reporter, clock } = options
    this.#bucket = new TokenBucket({ perSecond: replay.rate, burst: replay.rate }, clock.monoMs())
    const bdSeq = storedBdSeq(store)
    this.#edge = new EdgeNode({ ...edge, ...(bdSeq !== undefined && { bdSeq }) })
    this.#reader = new OutboxReader(store, marks.through('sparkplug'))
    this.#output = new MqttOutput({
      ...broker,
      reporter,
      monoMs: () => clock.monoMs(),
      will: () => this.#dial(),
    })
    this.#handle({ kind: 'committed', position: lastOutboxSequence(store) })
    this.#tellCurrent(options.current)
  }

  async start(): Promise<void> {
    await this.#output.start({ up: () => this.#up(), down: () => this.#down() })
  }

  /** Says NDEATH if connected. What was not proven is told again after the next start, as historical. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#wake)
    const farewell = this.#edge.handle({ kind: 'stop' }, this.#now()).find(isPublish)
    await this.#output.stop(farewell ?? NOTHING)
  }

  /** For the bridge, after each commit with items of the outbox. */
  committed(sequence: number): void {
    this.#handle({ kind: 'committed', position: sequence })
    this.#reader.wake()
    this.#pump()
  }

  agentHere(agent: string): void {
    this.#handle({ kind: 'agentHere', agent })
  }

  agentGone(agent: string, revoked: boolean): void {
    this.#handle({ kind: 'agentGone', agent, revoked })
  }

  status(): SparkplugStatus {
    return { broker: this.#output.status(), state: this.#edge.phase, unproven: this.#unproven.length }
  }

  /** What is known of before the start. A name whose item is not kept any more is told once it is read again. */
  #tellCurrent(places: readonly CurrentPlace[]): void {
    const { store } = this.#options
    let at:
      { readonly sequence: number; readonly agent: string; readonly readings: EdgeReading[] } | undefined
    for (const { sequence, index } of places) {
      try {
        if (at?.sequence !== sequence) {
          const value = store.get(OUTBOX_TABLE, sequenceKey(sequence))
          const item = value && decodeItem(value)
          if (item?.kind !== 'readings') continue
          at = { sequence, agent: item.entry.name, readings: this.#readings(item.entry) }
        }
        const reading = at.readings[index]
        if (reading) this.#handle({ kind: 'current', agent: at.agent, readings: [reading] })
      } catch {
        // What cannot be read is nothing to tell.
      }
    }
  }

  /** The next connection's will, once its number is on disk: a host must never see one twice. */
  async #dial(): Promise<Message> {
    const [effect] = this.#edge.handle({ kind: 'dial' }, this.#now())
    if (effect?.kind !== 'connect') throw new Error('The edge node does not dial.')
    await this.#options.store.commit([bdSeqWrite(effect.bdSeq)])
    return effect.will
  }

  #up(): void {
    this.#round += 1
    this.#waitedThrough = this.#newest()
    this.#handle({ kind: 'connected' })
    this.#pump()
  }

  #down(): void {
    this.#round += 1
    clearTimeout(this.#timer)
    clearTimeout(this.#wake)
    this.#handle({ kind: 'disconnected' })
    this.#unproven.length = 0
    this.#reader.resumeAfter(this.#options.marks.through('sparkplug'))
  }

  #pump(): void {
    for (let items = 0; this.#output.connected && this.#edge.ready && !this.#stopped; items++) {
      if (items >= MAX_ITEMS_PER_TURN) return this.#pumpLater(0)
      const restMs = this.#restUntilMs - this.#options.clock.monoMs()
      if (restMs > 0 && this.#reader.position < this.#waitedThrough) return this.#pumpLater(restMs)
      const entry = this.#next()
      if (!entry) return this.#handle({ kind: 'idle' })
      const sequence = sequenceOf(entry.key)
      this.#unproven.push({ sequence, bytes: entry.key.length + entry.value.length })
      this.#handle(this.#eventOf(entry, sequence))
    }
  }

  #pumpLater(waitMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#pump(), waitMs)
  }

  #next(): Entry | undefined {
    try {
      return this.#reader.next()
    } catch (cause) {
      this.#unreadable(cause)
      this.#pumpLater(PUBLISH_RETRY_MS)
      return undefined
    }
  }

  /** Where the store does not tell, nothing waited longer than before. */
  #newest(): number {
    try {
      return newestSequence(this.#options.store)
    } catch (cause) {
      this.#unreadable(cause)
      return this.#waitedThrough
    }
  }

  #unreadable(cause: unknown): void {
    const text = `The outbox cannot be read: ${errorText(cause)}`
    this.#options.reporter.event('error', 'FW_OUTBOX_UNREADABLE', text)
  }

  /** What cannot be read is set aside by the lane of the MQTT topics. */
  #eventOf({ value }: Entry, position: number): EdgeEvent {
    try {
      const item = decodeItem(value)
      if (item.kind !== 'readings') return { kind: 'skip', position }
      const { entry } = item
      const readings = this.#readings(entry)
      if (position <= this.#waitedThrough) this.#replayed(readings.length)
      return { kind: 'batch', position, agent: entry.name, historical: entry.historical, readings }
    } catch {
      return { kind: 'skip', position }
    }
  }

  #readings(entry: OutboxEntry): EdgeReading[] {
    return this.#options.decode(entry.batch).map((reading, index) => {
      const { name, unit, value } = reading
      const { quality, time } = readingPayload(entry, index, reading)
      return { name, value, quality, timeMs: Date.parse(time), ...(unit !== undefined && { unit }) }
    })
  }

  #replayed(readings: number): void {
    const now = this.#options.clock.monoMs()
    this.#restUntilMs = now + this.#bucket.charge(now, readings)
  }

  #handle(event: EdgeEvent): void {
    for (const effect of this.#edge.handle(event, this.#now())) this.#carryOut(effect)
  }

  #carryOut(effect: EdgeEffect): void {
    switch (effect.kind) {
      case 'subscribe':
        for (const topic of effect.topics) this.#subscribe(topic)
        return
      case 'publish':
        return this.#publish(effect)
      case 'through':
        return this.#through(effect.position)
      case 'command':
        return this.#options.command(effect)
      case 'disconnect':
        return this.#output.leave()
      case 'wake':
        this.#wake = setTimeout(() => {
          this.#handle({ kind: 'wake' })
          this.#pump()
        }, effect.inMs)
        return
      case 'report': {
        const { level, code, message, fields } = effect
        return this.#options.reporter.event(level, code, message, fields)
      }
      case 'connect':
        throw new Error('The edge node dials by itself.')
    }
  }

  /** On this connection; on later ones the output does it by itself. */
  #subscribe(topic: string): void {
    if (this.#subscribed.has(topic)) return
    this.#subscribed.add(topic)
    this.#output.subscribe(topic, (from, payload, retained) => {
      this.#handle({ kind: 'message', topic: from, payload, retained })
      this.#pump()
    })
  }

  #publish({ topic, payload, qos, retain, fence }: Publish): void {
    const round = this.#round
    this.#output.publish({ topic, payload, qos, retain }).then(
      () => {
        if (fence === undefined || round !== this.#round) return
        this.#handle({ kind: 'fenced', fence })
        this.#pump()
      },
      () => {
        // A connection that broke says so itself. One that lives and refuses would leave a hole in what a host saw.
        if (round === this.#round && this.#output.connected) this.#output.reconnect()
      },
    )
  }

  #through(position: number): void {
    while (this.#unproven[0] && this.#unproven[0].sequence <= position) {
      const { sequence, bytes } = this.#unproven.shift()!
      this.#options.marks.sent(sequence, bytes, 'sparkplug')
    }
  }

  #now(): { monoMs: number; wallMs: number } {
    const { clock } = this.#options
    return { monoMs: clock.monoMs(), wallMs: clock.wallMs() }
  }
}

/** Goes with a farewell that nobody is there to hear. */
const NOTHING: Message = { topic: 'fieldwhisper', payload: new Uint8Array(0), retain: false }

function isPublish(effect: EdgeEffect): effect is Publish {
  return effect.kind === 'publish'
}

function storedBdSeq(store: Store): number | undefined {
  const value = store.get(OUTBOX_STATE_TABLE, BDSEQ_KEY)
  return value && asUint(asArray(decodeCbor(value), 'bdSeq', 2)[1], 'bdSeq', 255)
}

function bdSeqWrite(bdSeq: number): Write {
  return { table: OUTBOX_STATE_TABLE, key: BDSEQ_KEY, value: encodeCbor([BRIDGE_RECORD_VERSION, bdSeq]) }
}
