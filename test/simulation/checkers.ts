import { createHash } from 'node:crypto'
import type { Write } from '@fieldwhisper/host'
import {
  decodeBatch,
  equalBytes,
  hex,
  PACKET_HELLO,
  type GapMessage,
  type Reading,
  type StreamAck,
  type StreamState,
} from '@fieldwhisper/protocol'
import { decodeItem, OUTBOX_TABLE } from '../../gateway/src/bridge/outbox-entry.js'
import type { BatchPlace, Spool } from '../../agent/src/spool/index.js'
import type { World } from './world.js'

interface Given {
  /** Whose disk took it. */
  readonly device: string
  /** The name that it is published under: a copy of a device has the same. */
  readonly agent: string
  readonly reading: Reading
  /** Stream and number of its batch, once that is on the gateway's disk. */
  place: string | undefined
}

interface Flushed {
  readonly first: number
  last: number
}

/** As the encoding of a batch has it: rounding alone moves a wall clock by one. */
const CLOCK_TOLERANCE_MS = 1
/** Acknowledgements looked back at for one stream. */
const REMEMBERED_ACKS = 32
/** Address and counter of a packet with data: its key. A hello has no tree, its key is used with one nonce. */
const LEAF_END = 22
const NONCE_END = 30

/**
 * What must be true at every moment. Each promise is checked where it could break: when bytes leave a device, when the gateway's disk
 * has something, when an acknowledgement frees something.
 */
export class Checkers {
  readonly #world: World
  readonly #given = new Map<number, Given>()
  /** By device: what `append` accepted and the gateway's disk never had. */
  readonly #missing = new Map<string, Set<number>>()
  /** Of the batches that were on the gateway's disk, when they came there. */
  readonly #flushed = new Map<string, Flushed>()
  /**
   * What a device said will never come, and counted: gaps, and by stream the number that everything below is settled for it. A copy
   * of the device may still hold such a batch, and is told that it is settled.
   */
  readonly #givenUp = new Set<string>()
  readonly #floors = new Map<string, number>()
  /** Hashes of packets by what sealed them. */
  readonly #leaves = new Map<string, string>()
  readonly #published = new Map<string, number>()
  readonly #known = new WeakSet<Uint8Array>()
  /** Packets of the gateway, and when they were first said. */
  readonly #said = new Map<string, number>()
  readonly #acks = new Map<string, { readonly said: number; readonly through: number }[]>()
  /** Orders flushes and packets among each other. */
  #moment = 0
  /** Devices on whose disks a batch may not read. */
  readonly #damaged = new Set<string>()
  /** When the gateway's disk was last replaced by an older one. */
  #wentBack = 0
  #countersWentBack = false
  accepted = 0
  published = 0
  /** Told each reading that comes to the gateway's disk for the first time. */
  onPublished: (reading: Reading) => void = () => undefined

  constructor(world: World) {
    this.#world = world
  }

  /** A source hands over a reading whose value is its number. */
  given(device: string, reading: Reading, agent = device): void {
    this.#given.set(reading.value as number, { device, agent, reading, place: undefined })
  }

  acceptedReading(id: number): void {
    const { device, place } = this.#given.get(id)!
    if (place === undefined) this.#missingOf(device).add(id)
    this.#world.trace(`accepted: ${id}`)
    this.accepted++
  }

  /** Readings of one device, or of all, that `append` accepted and the gateway's disk does not have. */
  missing(device?: string): number[] {
    if (device !== undefined) return [...this.#missingOf(device)]
    return [...this.#missing.values()].flatMap((ids) => [...ids])
  }

  /** Of one device, whoever brought them. */
  publishedOf(device: string): number {
    return this.#published.get(device) ?? 0
  }

  missingCount(): number {
    let count = 0
    for (const ids of this.#missing.values()) count += ids.size
    return count
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
      const before = this.#flushed.get(place)
      if (before && before.last > this.#wentBack)
        this.#world.broken(`batch ${place} of ${name} is published twice`)
      if (before) before.last = this.#moment
      else this.#flushed.set(place, { first: this.#moment, last: this.#moment })
      this.#world.trace(`on disk: ${name} ${place}`)
      for (const reading of decodeBatch(batch).readings) this.#publish(name, place, reading)
    }
  }

  /**
   * The gateway goes on with an older disk. What came since then comes again with the same ids where it was not acknowledged. With the
   * sessions of that disk it seals again with leaves that it has used: then only the random half of the nonce keeps them apart.
   */
  gatewayWentBack(withSessions: boolean): void {
    this.#wentBack = this.#moment
    this.#acks.clear()
    this.#countersWentBack ||= withSessions
  }

  /** These bytes leave a device: a leaf, and the nonce of a hello, seals one packet only. */
  sealed(by: string, packet: Uint8Array): void {
    if (this.#known.has(packet)) return
    this.#known.add(packet)
    const isHello = (packet[0]! & 0x0f) === PACKET_HELLO
    const end = isHello || this.#countersWentBack ? NONCE_END : LEAF_END
    const leaf = Buffer.from(packet.buffer, packet.byteOffset + 2, end - 2).toString('latin1')
    const hash = createHash('sha256').update(packet).digest('base64').slice(0, 22)
    const before = this.#leaves.get(leaf)
    if (before === hash) return
    if (before !== undefined) this.#world.broken(`${by} sealed two packets with one key and nonce`)
    this.#leaves.set(leaf, hash)
    this.#world.trace(`${by} sealed ${hex(packet.subarray(2, 30))}, ${packet.length} bytes`)
  }

  saidByGateway(packet: Uint8Array): void {
    this.sealed('the gateway', packet)
    const name = Buffer.from(packet.buffer, packet.byteOffset + 2, 28).toString('latin1')
    if (!this.#said.has(name)) this.#said.set(name, ++this.#moment)
  }

  /** A device is about to tell its gateway that these batches never come. */
  givenUp(gaps: readonly GapMessage[]): void {
    for (const { what } of gaps) {
      if (!('stream' in what)) continue
      for (const { from, to } of what.ranges)
        for (let number = from; number < to; number++) this.#givenUp.add(`${hex(what.stream)}/${number}`)
    }
  }

  /** Nothing below the floor of a stream will come from this device. */
  floorSaid({ stream, floor }: Pick<StreamState, 'stream' | 'floor'>): void {
    const id = hex(stream)
    this.#floors.set(id, Math.max(floor, this.#floors.get(id) ?? 0))
  }

  /** A device opened this packet of the gateway and is about to free what it acknowledges. */
  acknowledged(
    device: string,
    packet: Uint8Array | undefined,
    spool: Pick<Spool, 'stream' | 'isHeld' | 'behind' | 'encoded'>,
    streams: readonly StreamAck[],
  ): void {
    const name = packet && Buffer.from(packet.buffer, packet.byteOffset + 2, 28).toString('latin1')
    const said = name === undefined ? undefined : this.#said.get(name)
    if (said === undefined)
      return this.#world.broken(`${device} frees readings for something that the gateway never said`)
    for (const { stream, through, ranges } of streams) {
      const id = hex(stream)
      this.#growing(id, said, through)
      const state = spool.stream(id)
      if (!state) continue
      for (const { from, to } of [{ from: state.floor, to: through }, ...ranges]) {
        for (let number = from; number < Math.min(to, state.end); number++) {
          if (!spool.isHeld({ stream, number })) continue
          const flushed = this.#flushed.get(`${id}/${number}`)
          if (flushed && flushed.first <= said) continue
          if (this.#isGivenUp(id, number)) {
            this.#countedAlready(spool, { stream, number })
            continue
          }
          this.#world.broken(
            `batch ${id}/${number} of ${device} was acknowledged before it would survive a power cut`,
          )
        }
      }
    }
  }

  /** The disk of this device was replaced by an older image, or damaged: what only it held is gone, and nobody promised that. */
  restored(device: string, spool: Spool): void {
    this.#damaged.add(device)
    const held = this.#held(device, spool)
    const missing = this.#missingOf(device)
    for (const id of missing) if (!held.has(id)) missing.delete(id)
  }

  /**
   * After a start everything that was accepted and is not published is held, or was counted as dropped. Where the disk is full, what
   * was in no batch waits for room: then the count has to do until it arrives.
   */
  recovered(device: string, spool: Spool): void {
    const held = this.#held(device, spool)
    const lost = this.missing(device).filter((id) => !held.has(id))
    const inNoBatch = Math.max(0, spool.counters.held - held.size)
    if (lost.length > spool.counters.dropped + inNoBatch)
      this.#world.broken(
        `${device} restarted without reading ${lost.join()}, ${spool.counters.dropped} counted as dropped`,
      )
  }

  /** At any time: accepted = published + held + counted as dropped; what is published may still be held. */
  conserved(device: string, { counters }: Pick<Spool, 'counters'>): void {
    const missing = this.#missingOf(device).size
    if (missing > counters.held + counters.dropped)
      this.#world.broken(
        `${device}: ${missing} readings are not published, ${counters.held} held, ${counters.dropped} dropped`,
      )
  }

  /** A copy, or an older state, of the device that gave this batch up frees it too: it was counted as lost then. */
  #countedAlready(spool: Pick<Spool, 'behind' | 'encoded'>, { stream, number }: BatchPlace): void {
    const batch = [...spool.behind()].find(
      (held) => held.number === number && equalBytes(held.stream, stream),
    )
    const bytes = batch && spool.encoded(batch)
    for (const { value } of bytes ? decodeBatch(bytes).readings : [])
      this.#missingOf(this.#given.get(value as number)!.device).delete(value as number)
  }

  #isGivenUp(stream: string, number: number): boolean {
    return this.#givenUp.has(`${stream}/${number}`) || number < (this.#floors.get(stream) ?? 0)
  }

  #missingOf(device: string): Set<number> {
    let missing = this.#missing.get(device)
    if (!missing) this.#missing.set(device, (missing = new Set()))
    return missing
  }

  #held(device: string, spool: Spool): ReadonlySet<unknown> {
    const held = new Set<unknown>()
    for (const batch of spool.behind()) {
      const bytes = spool.encoded(batch)
      if (!bytes && !this.#damaged.has(device)) this.#world.broken(`a batch of ${device} does not read`)
      for (const { value } of bytes ? decodeBatch(bytes).readings : []) held.add(value)
    }
    return held
  }

  #publish(agent: string, place: string, reading: Reading): void {
    const id = reading.value as number
    const given = this.#given.get(id)
    if (!given)
      return this.#world.broken(`a reading is published that nobody took: ${JSON.stringify(reading)}`)
    if (given.agent !== agent)
      this.#world.broken(`reading ${id} of ${given.agent} is published as ${agent}'s`)
    if (given.place !== undefined && given.place !== place)
      this.#world.broken(`reading ${id} of ${agent} is published in two batches`)
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
    const first = given.place === undefined
    given.place = place
    this.#missingOf(given.device).delete(id)
    if (!first) return
    this.published++
    this.#published.set(given.device, this.publishedOf(given.device) + 1)
    this.onPublished(reading)
  }

  /** What is said later never acknowledges less, in whatever order it arrives. */
  #growing(stream: string, said: number, through: number): void {
    if (said <= this.#wentBack) return
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
