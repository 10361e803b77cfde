import type { Write } from '@fieldwhisper/host'
import {
  decodeBatch,
  equalBytes,
  hex,
  PACKET_HELLO,
  type Reading,
  type StreamAck,
} from '@fieldwhisper/protocol'
import { decodeItem, OUTBOX_TABLE } from '../../gateway/src/bridge/outbox-entry.js'
import type { Spool } from '../../agent/src/spool/index.js'
import type { World } from './world.js'

interface Given {
  readonly agent: string
  readonly reading: Reading
  /** `append` returned. */
  accepted: boolean
  published: boolean
}

/** As the encoding of a batch has it: rounding alone moves a wall clock by one. */
const CLOCK_TOLERANCE_MS = 1
/** Acknowledgements looked back at for one stream. */
const REMEMBERED_ACKS = 32

/**
 * What must be true at every moment. Each promise is checked where it could break: when bytes leave a device, when the gateway's disk
 * has something, when an acknowledgement frees something.
 */
export class Checkers {
  readonly #world: World
  readonly #given = new Map<number, Given>()
  /** Of the batches on the gateway's disk, when they came there. */
  readonly #flushed = new Map<string, number>()
  readonly #leaves = new Map<string, Uint8Array>()
  /** Packets of the gateway, and when they were first said. */
  readonly #said = new Map<string, number>()
  readonly #acks = new Map<string, { readonly said: number; readonly through: number }[]>()
  /** Orders flushes and packets among each other. */
  #moment = 0
  accepted = 0
  published = 0

  constructor(world: World) {
    this.#world = world
  }

  /** A source hands over a reading whose value is its number. */
  given(agent: string, reading: Reading): void {
    this.#given.set(reading.value as number, { agent, reading, accepted: false, published: false })
  }

  acceptedReading(id: number): void {
    this.#given.get(id)!.accepted = true
    this.#world.trace(`accepted: ${id}`)
    this.accepted++
  }

  /** Readings of one agent, or of all, that `append` accepted and the gateway's disk does not have. */
  missing(agent?: string): number[] {
    return [...this.#given]
      .filter(
        ([, { accepted, published, ...one }]) => accepted && !published && (agent ?? one.agent) === one.agent,
      )
      .map(([id]) => id)
  }

  /** The gateway's disk has these writes for good. */
  flushed(writes: readonly Write[]): void {
    this.#moment++
    for (const { table, value } of writes) {
      if (table !== OUTBOX_TABLE || !value) continue
      const item = decodeItem(value)
      if (item.kind !== 'readings') continue
      const { stream, number, name, batch } = item.entry
      const place = `${hex(stream)}/${number}`
      if (this.#flushed.has(place)) this.#world.broken(`batch ${place} of ${name} is published twice`)
      this.#flushed.set(place, this.#moment)
      this.#world.trace(`on disk: ${name} ${place}`)
      for (const reading of decodeBatch(batch).readings) this.#publish(name, reading)
    }
  }

  /** These bytes leave a device: a leaf, and the nonce of a hello, seals one packet only. */
  sealed(by: string, packet: Uint8Array): void {
    const isHello = (packet[0]! & 0x0f) === PACKET_HELLO
    const leaf = Buffer.from(packet.buffer, packet.byteOffset + 2, isHello ? 28 : 20).toString('latin1')
    const before = this.#leaves.get(leaf)
    if (before === packet) return
    if (before && !equalBytes(before, packet))
      this.#world.broken(`${by} sealed two packets with one key and nonce`)
    this.#leaves.set(leaf, packet)
    if (!before) this.#world.trace(`${by} sealed ${hex(packet.subarray(2, 30))}, ${packet.length} bytes`)
  }

  saidByGateway(packet: Uint8Array): void {
    this.sealed('the gateway', packet)
    const name = Buffer.from(packet.buffer, packet.byteOffset + 2, 28).toString('latin1')
    if (!this.#said.has(name)) this.#said.set(name, ++this.#moment)
  }

  /** An agent opened this packet of the gateway and is about to free what it acknowledges. */
  acknowledged(
    agent: string,
    packet: Uint8Array | undefined,
    spool: Spool,
    streams: readonly StreamAck[],
  ): void {
    const name = packet && Buffer.from(packet.buffer, packet.byteOffset + 2, 28).toString('latin1')
    const said = name === undefined ? undefined : this.#said.get(name)
    if (said === undefined)
      return this.#world.broken(`${agent} frees readings for something that the gateway never said`)
    for (const { stream, through, ranges } of streams) {
      const id = hex(stream)
      this.#growing(id, said, through)
      for (const held of spool.behind()) {
        if (held.id !== id) continue
        const { number } = held
        if (number >= through && !ranges.some(({ from, to }) => number >= from && number < to)) continue
        const flushed = this.#flushed.get(`${id}/${number}`)
        if (flushed === undefined || flushed > said)
          this.#world.broken(
            `batch ${id}/${number} of ${agent} was acknowledged before it would survive a power cut`,
          )
      }
    }
  }

  /** The disk of this agent was replaced by an older image: what only it held is gone, and nobody promised that. */
  restored(agent: string, spool: Spool): void {
    const held = this.#held(agent, spool)
    for (const id of this.missing(agent)) if (!held.has(id)) this.#given.get(id)!.accepted = false
  }

  /** After a start everything that was accepted and is not published is held, or was counted as dropped. */
  recovered(agent: string, spool: Spool): void {
    const held = this.#held(agent, spool)
    const lost = this.missing(agent).filter((id) => !held.has(id))
    if (lost.length > spool.counters.dropped)
      this.#world.broken(
        `${agent} restarted without reading ${lost.join()}, ${spool.counters.dropped} counted as dropped`,
      )
  }

  /** At any time: accepted = published + held + counted as dropped; what is published may still be held. */
  conserved(agent: string, { counters }: Spool): void {
    const missing = this.missing(agent).length
    if (missing > counters.held + counters.dropped)
      this.#world.broken(
        `${agent}: ${missing} readings are not published, ${counters.held} held, ${counters.dropped} dropped`,
      )
  }

  #held(agent: string, spool: Spool): ReadonlySet<unknown> {
    const held = new Set<unknown>()
    for (const batch of spool.behind()) {
      const bytes = spool.encoded(batch)
      if (!bytes) return this.#world.broken(`a batch of ${agent} does not read`)
      for (const { value } of decodeBatch(bytes).readings) held.add(value)
    }
    return held
  }

  #publish(agent: string, reading: Reading): void {
    const id = reading.value as number
    const given = this.#given.get(id)
    if (!given)
      return this.#world.broken(`a reading is published that nobody took: ${JSON.stringify(reading)}`)
    if (given.agent !== agent)
      this.#world.broken(`reading ${id} of ${given.agent} is published as ${agent}'s`)
    if (given.published) this.#world.broken(`reading ${id} of ${agent} is published in two batches`)
    const { name, unit, monoMs, wallMs, quality, clock } = given.reading
    const same =
      reading.name === name &&
      reading.unit === unit &&
      reading.monoMs === monoMs &&
      Math.abs(reading.wallMs - wallMs) <= CLOCK_TOLERANCE_MS &&
      reading.quality === quality &&
      reading.clock === clock
    if (!same)
      this.#world.broken(
        `reading ${id} changed: ${JSON.stringify(given.reading)} to ${JSON.stringify(reading)}`,
      )
    given.published = true
    this.published++
  }

  /** What is said later never acknowledges less, in whatever order it arrives. */
  #growing(stream: string, said: number, through: number): void {
    const acks = this.#acks.get(stream) ?? []
    this.#acks.set(stream, acks)
    for (const other of acks) {
      const grows = other.said < said ? other.through <= through : other.through >= through
      if (other.said !== said && !grows)
        this.#world.broken(
          `stream ${stream}: acknowledged through ${other.through} and ${through}, the wrong way round`,
        )
    }
    acks.push({ said, through })
    if (acks.length > REMEMBERED_ACKS) acks.shift()
  }
}
