import { addressOf } from '@fieldwhisper/protocol/address'
import { packetHash, PACKET_HELLO, parseHeader, ProtocolError } from '@fieldwhisper/protocol/packet'
import { CLOSING, encodeFrame, STATUS } from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame, RelayFrame, Status } from '@fieldwhisper/mesh/relay-frames'
import { HELLO_BUDGET, MEMBER_ADDRESSES, PUBLISH_BUDGET, STRANGER_ADDRESSES } from '../constants.js'
import type { Directory } from './directory.js'
import type { Subscriber } from './handover.js'
import { NO_ROOM } from './mailbox.js'
import type { Room } from './mailbox.js'
import type { Mailboxes } from './mailboxes.js'
import { ProofCheck } from './proofs.js'
import { hex } from './records.js'
import { TokenBucket } from '@fieldwhisper/host'

/** What all connections share. */
export interface Shared {
  readonly mailboxes: Mailboxes
  readonly directory: Directory
  /** The names under which this relay can be dialled, lower case. */
  readonly names: () => readonly string[]
  /** Lifetimes of mailboxes and packets count this, see `Mailboxes`. */
  readonly runningMs: () => number
  /** Signatures that may be checked, for clients with the access token and for the others. */
  readonly memberProofs: TokenBucket
  readonly strangerProofs: TokenBucket
}

/** The socket below a conversation. */
export interface Link {
  /** One encoded frame; ignored when the link has ended. */
  send(frame: Uint8Array): void
  /** False while enough waits for the socket; `Conversation.drained` is called when that changes. */
  ready(): boolean
  /** Says why and closes. */
  end(code: number, text: string): void
}

/**
 * One connection: challenge, proofs, and what a proof allows.
 *
 *   PROVE create            needs a valid proof           -> mailbox durable -> PROVED
 *   PROVE subscribe         needs a mailbox               -> PROVED, then PACKET for each packet it holds
 *   DEPOSIT                 needs a mailbox, no proof     -> STORED
 *   DELETE, REMOVE, PUBLISH need this connection's proof
 *   LOOKUP                  needs the slot
 */
export class Conversation {
  readonly #shared: Shared
  readonly #link: Link
  readonly #member: boolean
  readonly #nonce: Uint8Array
  readonly #proofs: ProofCheck
  readonly #proven = new Set<string>()
  readonly #hellos: TokenBucket
  readonly #publishes: TokenBucket
  readonly #subscriber: Subscriber
  #closed = false

  /** `nonce`: 32 fresh random bytes. */
  constructor(
    shared: Shared,
    link: Link,
    client: { readonly member: boolean; readonly nonce: Uint8Array },
    now: number,
  ) {
    this.#shared = shared
    this.#link = link
    this.#member = client.member
    this.#nonce = client.nonce
    const bucket = client.member ? shared.memberProofs : shared.strangerProofs
    this.#proofs = new ProofCheck(client.nonce, shared.names, bucket)
    this.#hellos = new TokenBucket(HELLO_BUDGET, now)
    this.#publishes = new TokenBucket(PUBLISH_BUDGET, now)
    this.#subscriber = {
      ready: () => link.ready(),
      hand: (packet) => this.#send({ kind: 'packet', packet }),
    }
  }

  open(): void {
    this.#send({ kind: 'challenge', nonce: this.#nonce })
  }

  /** Acts on one frame. Answers may come later. `now` is monotonic and paces; lifetimes have a time of their own. */
  receive(frame: ClientFrame, now: number): void {
    switch (frame.kind) {
      case 'prove':
        return this.#prove(frame, now)
      case 'deposit':
        return this.#deposit(frame.request, frame.packet, now)
      case 'delete':
        if (this.#proven.has(hex(frame.address)))
          this.#shared.mailboxes.delete(frame.address, frame.hashes, this.#shared.runningMs())
        return
      case 'remove': {
        const proven = this.#proven.has(hex(frame.address))
        return this.#answer(
          frame.request,
          proven ? this.#shared.mailboxes.remove(frame.address) : STATUS.notProven,
        )
      }
      case 'publish':
        return this.#publish(frame.request, frame.slot, frame.record, now)
      case 'lookup': {
        const record = this.#shared.directory.lookup(frame.slot) ?? new Uint8Array(0)
        return this.#send({ kind: 'record', slot: frame.slot, record })
      }
    }
  }

  drained(): void {
    this.#shared.mailboxes.resume(this.#subscriber)
  }

  closed(): void {
    this.#closed = true
    this.#shared.mailboxes.leave(this.#subscriber, this.#shared.runningMs())
  }

  #prove(frame: Extract<ClientFrame, { kind: 'prove' }>, now: number): void {
    const address = addressOf(frame.publicKey)
    const key = hex(address)
    const members = Math.max(MEMBER_ADDRESSES, this.#shared.mailboxes.most)
    const limit = this.#member ? members : STRANGER_ADDRESSES
    if (this.#proven.size >= limit && !this.#proven.has(key)) return this.#answer(frame.request, STATUS.full)
    switch (this.#proofs.check(frame.publicKey, frame.signature, now)) {
      case 'rate':
        return this.#answer(frame.request, STATUS.rate)
      case 'invalid':
        return this.#answer(frame.request, STATUS.proofInvalid)
      case 'too many':
        return this.#link.end(CLOSING.proofs, 'Too many proofs did not hold.')
      case 'valid':
        this.#proven.add(key)
        void this.#proved(address, frame)
    }
  }

  async #proved(address: Uint8Array, frame: Extract<ClientFrame, { kind: 'prove' }>): Promise<void> {
    const { mailboxes } = this.#shared
    let status: Status = frame.create
      ? await mailboxes.create(address, this.#member, this.#shared.runningMs())
      : STATUS.done
    if (this.#closed) return
    if (status === STATUS.done && frame.subscribe && !mailboxes.has(address)) status = STATUS.noMailbox
    this.#answer(frame.request, status)
    if (status === STATUS.done && frame.subscribe)
      mailboxes.subscribe(address, this.#subscriber, this.#shared.runningMs())
  }

  #deposit(request: number, packet: Uint8Array, now: number): void {
    let hello: boolean
    let address: Uint8Array
    try {
      const header = parseHeader(packet)
      hello = header.type === PACKET_HELLO
      address = header.address
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return this.#stored(request, STATUS.malformed, NO_ROOM)
    }
    if (hello && !this.#hellos.take(now)) return this.#stored(request, STATUS.rate, NO_ROOM)
    const deposit = { address, packet, hash: packetHash(packet), hello, member: this.#member }
    this.#shared.mailboxes.deposit(deposit, this.#shared.runningMs()).then(
      ({ status, room }) => this.#stored(request, status, room),
      () => this.#stored(request, STATUS.disk, NO_ROOM),
    )
  }

  #publish(request: number, slot: Uint8Array, record: Uint8Array, now: number): void {
    if (!this.#proven.has(hex(slot))) return this.#answer(request, STATUS.notProven)
    if (!this.#publishes.take(now)) return this.#answer(request, STATUS.rate)
    this.#answer(request, this.#shared.directory.publish(slot, record, this.#member))
  }

  #answer(request: number, status: Status | Promise<Status>): void {
    if (typeof status === 'number') return this.#send({ kind: 'proved', request, status })
    status.then(
      (value) => this.#send({ kind: 'proved', request, status: value }),
      () => this.#send({ kind: 'proved', request, status: STATUS.disk }),
    )
  }

  #stored(request: number, status: Status, room: Room): void {
    const roomBytes = Math.min(room.bytes, 0xffff_ffff)
    const roomPackets = Math.min(room.packets, 0xffff_ffff)
    this.#send({ kind: 'stored', request, status, roomPackets, roomBytes })
  }

  #send(frame: RelayFrame): void {
    this.#link.send(encodeFrame(frame))
  }
}
