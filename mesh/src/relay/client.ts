import type { AddressKey } from '@fieldwhisper/protocol/address'
import type { RelayClient, RelayClientOptions, RelayDepositResult, RelayRequestResult } from './api.js'
import { reconnectDelayMs } from './backoff.js'
import { monoMs, RelayConnection, UNSENT } from './connection.js'
import {
  MAX_BUFFERED_BYTES,
  MAX_DELETE_HASHES,
  PROOF_RATE_PAUSE_MS,
  PROOF_RETRY_MS,
  PROOFS_PER_TURN,
  RELAY_TIMING,
  STABLE_MS,
  STATUS,
} from './constants.js'
import type { RelayTiming, Status } from './constants.js'
import type { RelayFailure } from './dial.js'
import type { ClientFrame, RelayFrame } from './frames.js'
import { RelayNews } from './news.js'
import { ProofQueue } from './proofs.js'
import type { ProveOptions } from './proofs.js'
import { relayTarget } from './url.js'
import type { RelayTarget } from './url.js'

/** The client of one relay. Inert until `start`. Throws MeshError `FW_RELAY_URL_INVALID`; nothing else ever throws. */
export function createRelayClient(options: RelayClientOptions): RelayClient {
  return new Client(options)
}

/**
 *   stopped --start--> dialling --challenge--> connected --lost--> waiting --timer--> dialling
 *                          +---failed or 10 s---> waiting
 */
class Client implements RelayClient {
  readonly url: string
  readonly name: string
  readonly #options: RelayClientOptions
  readonly #target: RelayTarget
  readonly #timing: RelayTiming
  readonly #proofs = new ProofQueue()
  readonly #news: RelayNews
  #connection: RelayConnection | undefined
  #retryTimer: NodeJS.Timeout | undefined
  #stableTimer: NodeJS.Timeout | undefined
  #proofTimer: NodeJS.Timeout | undefined
  #proving = false
  #running = false
  #failures = 0
  #stopping: { readonly done: Promise<void>; readonly resolve: () => void } | undefined

  constructor(options: RelayClientOptions) {
    this.#options = options
    this.#target = relayTarget(options.url, options.fingerprint, options.token)
    this.#timing = { ...RELAY_TIMING, ...options.timing }
    this.url = this.#target.url.href
    this.name = this.#target.name
    this.#news = new RelayNews(options.reporter, this.#target.url.host)
  }

  get connected(): boolean {
    return this.#connection?.nonce !== undefined
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    this.#failures = 0
    if (!this.#connection) this.#dial()
  }

  stop(): Promise<void> {
    this.#running = false
    clearTimeout(this.#retryTimer)
    if (!this.#connection) return Promise.resolve()
    if (this.#stopping) return this.#stopping.done
    let resolve!: () => void
    const done = new Promise<void>((end) => (resolve = end))
    this.#stopping = { done, resolve }
    this.#connection.close()
    return done
  }

  prove(key: AddressKey, options: ProveOptions): void {
    this.#proofs.keep(key, options)
    this.#sendProofs()
  }

  forget(address: Uint8Array): void {
    this.#proofs.forget(address)
  }

  deposit(packet: Uint8Array): Promise<RelayDepositResult> {
    return this.#open()?.deposit(packet) ?? Promise.resolve(UNSENT)
  }

  deleteFrom(address: Uint8Array, hashes: readonly Uint8Array[]): boolean {
    // Deletions make room everywhere, so they may wait in a longer queue than deposits.
    const connection = this.#open(2 * MAX_BUFFERED_BYTES)
    if (!connection) return false
    for (let at = 0; at < hashes.length; at += MAX_DELETE_HASHES) {
      connection.send({ kind: 'delete', address, hashes: hashes.slice(at, at + MAX_DELETE_HASHES) })
    }
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
    return this.#open()?.send({ kind: 'lookup', slot }) ?? false
  }

  #dial(): void {
    const connection = new RelayConnection(this.#target, this.#options.token, this.#timing, {
      onTokenUnknown: () => this.#news.tokenUnknown(),
      onChallenge: () => this.#onChallenge(),
      onFrame: (frame) => this.#onFrame(connection, frame),
      onCheck: () => this.#check(connection),
      onMisbehaved: (what) => this.#news.misbehaved(what),
      onClosed: (failure) => this.#onClosed(connection, failure),
    })
    this.#connection = connection
  }

  #onChallenge(): void {
    this.#news.connected()
    this.#stableTimer = setTimeout(() => (this.#failures = 0), STABLE_MS)
    this.#proofs.connected()
    this.#sendProofs()
    this.#options.onConnected?.()
  }

  #onFrame(connection: RelayConnection, frame: Exclude<RelayFrame, { kind: 'challenge' | 'stored' }>): void {
    switch (frame.kind) {
      case 'proved':
        return this.#onProved(connection, frame.request, frame.status)
      case 'packet':
        return this.#options.onPacket?.(frame.packet)
      case 'record':
        return this.#options.onRecord?.(frame.slot, frame.record.length > 0 ? frame.record : undefined)
      case 'closing':
        return this.#news.closing(frame.code, frame.text)
    }
  }

  /** The answer to a proof, or to what was asked by `#ask`. */
  #onProved(connection: RelayConnection, request: number, status: Status): void {
    if (!this.#proofs.has(request)) {
      const done = status === STATUS.done
      return connection.answered(request, done ? { status: 'done' } : { status: 'refused', code: status })
    }
    if (status === STATUS.proofInvalid) this.#news.proofInvalid(this.name)
    const jitter = 0.8 + 0.4 * this.#random()
    const address = this.#proofs.answered(request, status, {
      nowMs: monoMs(),
      pauseMs: PROOF_RATE_PAUSE_MS * jitter,
      retryMs: PROOF_RETRY_MS * jitter,
    })
    if (status === STATUS.rate) {
      clearTimeout(this.#proofTimer)
      this.#proofTimer = setTimeout(() => this.#sendProofs(), 1.3 * PROOF_RATE_PAUSE_MS)
    }
    this.#sendProofs()
    if (address) this.#options.onProved?.(address, status)
  }

  /** Sends what the queue gives out, some now and some in later turns: each costs a signature. */
  #sendProofs(): void {
    const connection = this.#connection
    if (!connection?.nonce || this.#proving) return
    for (let sent = 0; sent < PROOFS_PER_TURN; sent++) {
      const next = this.#proofs.next(() => connection.nextRequest(), monoMs())
      if (!next) return
      const { key, options, request } = next
      const signature = key.sign(connection.nonce, this.name)
      connection.send({ kind: 'prove', request, ...options, publicKey: key.publicKey, signature })
    }
    this.#proving = true
    setImmediate(() => {
      this.#proving = false
      this.#sendProofs()
    })
  }

  async #proveOnce(key: AddressKey): Promise<RelayRequestResult | undefined> {
    const proof = this.#proofs.once(key)
    this.#sendProofs()
    const status = await proof
    if (status === undefined) return UNSENT
    return status === STATUS.done ? undefined : { status: 'refused', code: status }
  }

  #ask(frame: (request: number) => ClientFrame): Promise<RelayRequestResult> {
    return this.#open()?.ask(frame) ?? Promise.resolve(UNSENT)
  }

  #open(maxBufferedBytes = MAX_BUFFERED_BYTES): RelayConnection | undefined {
    const connection = this.#connection
    return connection?.nonce && connection.bufferedBytes < maxBufferedBytes ? connection : undefined
  }

  #check(connection: RelayConnection): void {
    const waitedMs = this.#proofs.tick(monoMs())
    if (waitedMs >= this.#timing.requestMs)
      connection.fail(`a proof was not answered for ${waitedMs / 1_000} s`)
    else this.#sendProofs()
  }

  #onClosed(connection: RelayConnection, failure: RelayFailure): void {
    this.#connection = undefined
    clearTimeout(this.#stableTimer)
    clearTimeout(this.#proofTimer)
    this.#proofs.disconnected()
    if (this.#running) {
      this.#news.failed(failure)
      const delayMs = reconnectDelayMs(this.#failures++, failure.answered, () => this.#random())
      this.#retryTimer = setTimeout(() => this.#dial(), delayMs)
    }
    if (connection.nonce) this.#options.onDisconnected?.(failure.reason)
    this.#stopping?.resolve()
    this.#stopping = undefined
  }

  #random(): number {
    return (this.#options.random ?? Math.random)()
  }
}
