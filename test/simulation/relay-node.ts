import { decodeRelayFrames, encodeFrame, STATUS, type ClientFrame } from '@fieldwhisper/mesh/relay-frames'
import { SWEEP_MS, TABLES } from '../../relay/src/constants.js'
import { Conversation, type Shared } from '../../relay/src/core/conversation.js'
import { Directory } from '../../relay/src/core/directory.js'
import { proofBudgets } from '../../relay/src/core/proofs.js'
import { DEFAULT_LIMITS } from '../../relay/src/limits.js'
import { Mailboxes } from '../../relay/src/core/mailboxes.js'
import { addressKeyFromSeed, packetHash } from '@fieldwhisper/protocol'
import type { Dice } from './dice.js'
import { Disk } from './disk.js'
import type { Interference } from './interference.js'
import { Life } from './life.js'
import { FAST_BYTES_PER_MS, Wire, type End } from './wire.js'
import type { World } from './world.js'

/** From a client come frames, from a relay encoded ones. */
export type RelayWire = Wire<Uint8Array | ClientFrame>

/** Bytes waiting for a socket above which a relay hands over no more. */
const HIGH_WATER = 256 * 1024

/** A relay: the real mailboxes, directory and conversations, on a virtual disk and wires. */
export class RelayNode {
  readonly name: string
  readonly disk: Disk
  readonly wires = new Set<RelayWire>()
  mailboxes: Mailboxes | undefined
  /** Of each of its connections. */
  bytesPerMs = FAST_BYTES_PER_MS
  readonly #world: World
  readonly #dice: Dice
  readonly #interference: Interference
  #life: Life
  #shared: Shared | undefined
  #alarmAt = Infinity
  #intruding = false
  #cancelAlarm: () => void = () => undefined

  constructor(world: World, dice: Dice, interference: Interference, index: number) {
    this.#world = world
    this.#dice = dice
    this.#interference = interference
    this.name = `relay-${index}.sim`
    this.disk = new Disk({ tables: TABLES, dice: dice.fork() })
    this.disk.onCrash = () => this.end(() => 10)
    this.#life = new Life(world)
    this.#life.end()
  }

  get url(): string {
    return `ws://${this.name}:24780`
  }

  /** What its connections share; undefined while it is off. */
  get conversations(): Shared | undefined {
    return this.#shared
  }

  get alive(): boolean {
    return this.#life.alive
  }

  start(): void {
    if (this.#life.alive) return
    const life = (this.#life = new Life(this.#world))
    life.begin(
      () => this.#start(life),
      () => this.end(() => 10),
    )
  }

  async #start(life: Life): Promise<void> {
    const store = await this.disk.open(life)
    if (!life.alive) return
    const now = (): number => this.#world.now
    const limits = DEFAULT_LIMITS
    this.#alarmAt = Infinity
    const mailboxes = new Mailboxes({ store, limits, alarm: (at) => this.#alarm(life, at) }, now())
    this.mailboxes = mailboxes
    this.#shared = {
      mailboxes: this.#guarded(mailboxes),
      directory: new Directory(store, limits),
      names: () => [this.name],
      runningMs: now,
      ...proofBudgets(limits, now()),
    }
    life.every(SWEEP_MS, () => void mailboxes.sweep(now()))
    this.#world.log(`${this.name} is up`)
  }

  /** The process dies. A wiped relay comes back with an empty disk. */
  end(heardInMs: () => number, wiped = false): void {
    if (!this.#life.alive) return
    this.#life.end()
    this.#shared = undefined
    this.mailboxes = undefined
    this.#cancelAlarm()
    for (const wire of this.wires) wire.kill(1, heardInMs())
    this.wires.clear()
    if (wiped) this.disk.wipe()
    this.#world.log(`${this.name} is down${wiped ? ' and wiped' : ''}`)
  }

  accept(client: End<Uint8Array | ClientFrame>): RelayWire | undefined {
    const shared = this.#shared
    if (!shared) return undefined
    const life = this.#life
    const dice = this.#dice.fork()
    const line = {
      latencyMs: dice.between(1, 40),
      jitterMs: dice.between(0, 60),
      bytesPerMs: () => this.bytesPerMs,
    }
    const forget = (): void => {
      this.wires.delete(wire)
      stop()
    }
    const wire: RelayWire = new Wire(this.#world, dice, line, [
      {
        receive: (message) => this.#toClient(message as Uint8Array, client),
        closed: () => {
          forget()
          client.closed()
        },
      },
      {
        receive: (frame) => life.alive && this.#fromClient(conversation, wire, frame as ClientFrame),
        closed: () => {
          forget()
          if (life.alive) conversation.closed()
        },
      },
    ])
    const link = {
      send: (frame: Uint8Array) => life.alive && wire.send(1, frame, frame.length),
      ready: () => wire.buffered(1) < HIGH_WATER,
      end: () => wire.close(1),
    }
    const nonce = dice.bytes(32)
    const conversation = new Conversation(shared, link, { member: true, nonce }, this.#world.now)
    this.wires.add(wire)
    const stop = life.poll(500, () => link.ready() && conversation.drained())
    conversation.open()
    return wire
  }

  /** Somebody who saw this packet and has no proof tries to read its mailbox, to empty it and to end it. */
  intrude(packet: Uint8Array): void {
    const shared = this.#shared
    if (!shared) return
    const now = this.#world.now
    const nonce = this.#dice.bytes(32)
    const link = { send: () => undefined, ready: () => true, end: () => undefined }
    const conversation = new Conversation(shared, link, { member: false, nonce }, now)
    const address = packet.slice(2, 18)
    const own = addressKeyFromSeed(this.#dice.bytes(32))
    const proof = {
      publicKey: own.publicKey,
      signature: own.sign(nonce, this.name),
      create: false,
      subscribe: true,
    }
    this.#intruding = true
    conversation.receive({ kind: 'prove', request: 1, ...proof }, now)
    conversation.receive({ kind: 'delete', address, hashes: [packetHash(packet)] }, now)
    conversation.receive({ kind: 'remove', request: 2, address }, now)
    this.#intruding = false
    conversation.closed()
  }

  /** What a conversation asks of the mailboxes: nobody empties or ends one without its proof. */
  #guarded(mailboxes: Mailboxes): Mailboxes {
    return new Proxy(mailboxes, {
      get: (target, key) => {
        if (this.#intruding && (key === 'delete' || key === 'remove'))
          this.#world.broken(`a mailbox of ${this.name} was emptied without proof`)
        const value: unknown = Reflect.get(target, key, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  }

  #toClient(message: Uint8Array, client: End<Uint8Array | ClientFrame>): void {
    const [frame] = decodeRelayFrames(message)
    if (frame?.kind !== 'packet') return client.receive(message)
    this.#interference.pass(frame.packet, (packet) => client.receive(encodeFrame({ kind: 'packet', packet })))
  }

  #fromClient(conversation: Conversation, wire: RelayWire, frame: ClientFrame): void {
    if (frame.kind === 'deposit' && this.#interference.lies()) {
      const { request } = frame
      const answer = encodeFrame({
        kind: 'stored',
        request,
        status: STATUS.done,
        roomPackets: 9,
        roomBytes: 9_999,
      })
      return wire.send(1, answer, answer.length)
    }
    conversation.receive(frame, this.#world.now)
  }

  #alarm(life: Life, at: number): void {
    if (at >= this.#alarmAt) return
    this.#cancelAlarm()
    this.#alarmAt = at
    this.#cancelAlarm = life.after(at - this.#world.now, () => {
      this.#alarmAt = Infinity
      this.mailboxes?.tick(this.#world.now)
    })
  }
}
