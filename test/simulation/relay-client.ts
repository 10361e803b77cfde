import { decodeRelayFrames, STATUS, type ClientFrame, type RelayFrame } from '@fieldwhisper/mesh/relay-frames'
import type {
  RelayClient,
  RelayClientOptions,
  RelayDepositResult,
  RelayRequestResult,
} from '@fieldwhisper/mesh'
import type { AddressKey } from '@fieldwhisper/protocol'
import { reconnectDelayMs } from '../../mesh/src/relay/backoff.js'
import {
  MAX_BUFFERED_BYTES,
  MAX_DELETE_HASHES,
  MAX_OPEN_REQUESTS,
  PROOF_RATE_PAUSE_MS,
  PROOF_RETRY_MS,
  RELAY_TIMING,
} from '../../mesh/src/relay/constants.js'
import { ProofQueue, type ProveOptions } from '../../mesh/src/relay/proofs.js'
import type { Dice } from './dice.js'
import type { Life } from './life.js'
import type { RelayWire } from './relay-node.js'
import type { End } from './wire.js'

const UNSENT = { status: 'unsent' } as const
const DIAL_MS = 3_000

/** Where relays are found: undefined where that one does not answer. */
export type Dial = (url: string, end: End<Uint8Array | ClientFrame>) => RelayWire | undefined

interface Open {
  readonly wire: RelayWire
  nonce: Uint8Array | undefined
  readonly deposits: Map<number, { readonly at: number; readonly done: (result: RelayDepositResult) => void }>
  readonly requests: Map<number, { readonly at: number; readonly done: (result: RelayRequestResult) => void }>
}

/** The client of one relay as agents and gateways use it, on virtual wires: the real queue of proofs, the real frames and delays. */
export class VirtualRelayClient implements RelayClient {
  readonly url: string
  readonly name: string
  readonly #options: RelayClientOptions
  readonly #life: Life
  readonly #dice: Dice
  readonly #dial: Dial
  readonly #proofs = new ProofQueue()
  readonly #sealed: (packet: Uint8Array) => void
  #open: Open | undefined
  #running = false
  #request = 0
  #failures = 0

  /** `sealed` is told every packet that leaves. */
  constructor(
    options: RelayClientOptions,
    life: Life,
    dice: Dice,
    dial: Dial,
    sealed: (packet: Uint8Array) => void,
  ) {
    this.#sealed = sealed
    this.#options = options
    this.#life = life
    this.#dice = dice
    this.#dial = dial
    this.url = options.url
    this.name = new URL(options.url.replace('ws:', 'http:')).hostname
    life.poll(RELAY_TIMING.checkMs, () => this.#check())
  }

  get connected(): boolean {
    return this.#open?.nonce !== undefined
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    if (!this.#open) this.#connect()
  }

  stop(): Promise<void> {
    this.#running = false
    const open = this.#open
    if (open) {
      open.wire.close(0)
      this.#closed(open)
    }
    return Promise.resolve()
  }

  /** The process is gone without a word. */
  kill(heardInMs: number): void {
    this.#open?.wire.kill(0, heardInMs)
    this.#open = undefined
  }

  prove(key: AddressKey, options: ProveOptions): void {
    this.#proofs.keep(key, options)
    this.#sendProofs()
  }

  forget(address: Uint8Array): void {
    this.#proofs.forget(address)
  }

  deposit(packet: Uint8Array): Promise<RelayDepositResult> {
    const open = this.#ready()
    if (!open || open.deposits.size >= MAX_OPEN_REQUESTS) return Promise.resolve(UNSENT)
    const request = ++this.#request
    this.#sealed(packet)
    this.#send(open, { kind: 'deposit', request, packet })
    return new Promise((done) => open.deposits.set(request, { at: this.#now, done }))
  }

  deleteFrom(address: Uint8Array, hashes: readonly Uint8Array[]): boolean {
    const open = this.#ready(2 * MAX_BUFFERED_BYTES)
    if (!open) return false
    for (let at = 0; at < hashes.length; at += MAX_DELETE_HASHES)
      this.#send(open, { kind: 'delete', address, hashes: hashes.slice(at, at + MAX_DELETE_HASHES) })
    return true
  }

  async remove(target: AddressKey | Uint8Array): Promise<RelayRequestResult> {
    if (!(target instanceof Uint8Array)) {
      const unproven = await this.#proveOnce(target)
      if (unproven) return unproven
    }
    const address = target instanceof Uint8Array ? target : target.address
    this.#proofs.forget(address)
    return this.#ask((request) => ({ kind: 'remove', request, address }))
  }

  async publish(slotKey: AddressKey, record: Uint8Array): Promise<RelayRequestResult> {
    const unproven = await this.#proveOnce(slotKey)
    return unproven ?? this.#ask((request) => ({ kind: 'publish', request, slot: slotKey.address, record }))
  }

  lookup(slot: Uint8Array): boolean {
    const open = this.#ready()
    if (open) this.#send(open, { kind: 'lookup', slot })
    return open !== undefined
  }

  get #now(): number {
    return this.#life.world.now
  }

  #connect(): void {
    if (!this.#running || this.#open) return
    let open: Open | undefined
    const wire = this.#dial(this.url, {
      receive: (message) => open && this.#life.alive && this.#receive(open, message as Uint8Array),
      closed: () => open && this.#life.alive && this.#closed(open),
    })
    if (!wire) return this.#again(false, DIAL_MS)
    this.#open = open = { wire, nonce: undefined, deposits: new Map(), requests: new Map() }
  }

  #again(answered: boolean, afterMs: number): void {
    const delayMs = reconnectDelayMs(this.#failures++, answered, () => this.#dice.unit())
    this.#life.after(afterMs + delayMs, () => this.#connect())
  }

  #receive(open: Open, message: Uint8Array): void {
    if (open !== this.#open) return
    for (const frame of decodeRelayFrames(message)) this.#frame(open, frame)
  }

  #frame(open: Open, frame: RelayFrame): void {
    switch (frame.kind) {
      case 'challenge':
        open.nonce = frame.nonce
        this.#failures = 0
        this.#proofs.connected()
        this.#sendProofs()
        return this.#options.onConnected?.()
      case 'proved':
        return this.#proved(open, frame.request, frame.status)
      case 'stored': {
        const { request, status: code, roomPackets: packets, roomBytes: bytes } = frame
        const status = code === STATUS.done ? 'stored' : 'refused'
        open.deposits.get(request)?.done({ status, code, room: { packets, bytes } })
        open.deposits.delete(request)
        return
      }
      case 'packet':
        return this.#options.onPacket?.(frame.packet)
      case 'record':
        return this.#options.onRecord?.(frame.slot, frame.record.length > 0 ? frame.record : undefined)
      case 'closing':
        return
    }
  }

  #proved(open: Open, request: number, status: (typeof STATUS)[keyof typeof STATUS]): void {
    if (!this.#proofs.has(request)) {
      open.requests
        .get(request)
        ?.done(status === STATUS.done ? { status: 'done' } : { status: 'refused', code: status })
      open.requests.delete(request)
      return
    }
    const times = { nowMs: this.#now, pauseMs: PROOF_RATE_PAUSE_MS, retryMs: PROOF_RETRY_MS }
    const address = this.#proofs.answered(request, status, times)
    this.#sendProofs()
    if (address) this.#options.onProved?.(address, status)
  }

  #sendProofs(): void {
    const open = this.#open
    if (!open?.nonce) return
    for (;;) {
      const next = this.#proofs.next(() => ++this.#request, this.#now)
      if (!next) return
      const { key, options, request } = next
      const signature = key.sign(open.nonce, this.name)
      this.#send(open, { kind: 'prove', request, ...options, publicKey: key.publicKey, signature })
    }
  }

  async #proveOnce(key: AddressKey): Promise<RelayRequestResult | undefined> {
    const proof = this.#proofs.once(key)
    this.#sendProofs()
    const status = await proof
    if (status === undefined) return UNSENT
    return status === STATUS.done ? undefined : { status: 'refused', code: status }
  }

  #ask(frame: (request: number) => ClientFrame): Promise<RelayRequestResult> {
    const open = this.#ready()
    if (!open || open.requests.size >= MAX_OPEN_REQUESTS) return Promise.resolve(UNSENT)
    const request = ++this.#request
    this.#send(open, frame(request))
    return new Promise((done) => open.requests.set(request, { at: this.#now, done }))
  }

  #ready(maxBuffered = MAX_BUFFERED_BYTES): Open | undefined {
    const open = this.#open
    return this.#life.alive && open?.nonce && open.wire.buffered(0) < maxBuffered ? open : undefined
  }

  #send(open: Open, frame: ClientFrame): void {
    const bytes = frame.kind === 'deposit' ? frame.packet.length : frame.kind === 'publish' ? 2_000 : 200
    open.wire.send(0, frame, bytes)
  }

  #check(): void {
    const open = this.#open
    if (!open?.nonce) return
    const before = this.#now - RELAY_TIMING.requestMs
    for (const waiting of [open.deposits, open.requests]) {
      for (const [request, { at, done }] of waiting) {
        if (at > before) continue
        waiting.delete(request)
        done(UNSENT)
      }
    }
    if (this.#proofs.tick(this.#now) < RELAY_TIMING.requestMs) return this.#sendProofs()
    open.wire.close(0)
    this.#closed(open)
  }

  #closed(open: Open): void {
    if (this.#open !== open) return
    this.#open = undefined
    for (const { done } of [...open.deposits.values(), ...open.requests.values()]) done(UNSENT)
    this.#proofs.disconnected()
    if (open.nonce) this.#options.onDisconnected?.('lost')
    if (this.#running) this.#again(true, 0)
  }
}
