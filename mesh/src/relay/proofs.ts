import type { AddressKey } from '@fieldwhisper/protocol/address'
import { MAX_OPEN_PROOFS, STATUS } from './constants.js'
import type { Status } from './constants.js'

export interface ProveOptions {
  /** Make the mailbox if it is not there. */
  readonly create: boolean
  /** Hand over what the mailbox holds and what comes. */
  readonly subscribe: boolean
}

/** An address that is to be proven on every connection, or once for somebody who waits. */
interface Entry {
  readonly key: AddressKey
  options: ProveOptions
  /** False: only for `waiters`, on this connection. */
  kept: boolean
  /** Proven again although a proof is on its way or was answered: the options changed. */
  stale: boolean
  state: 'idle' | 'queued' | 'open' | 'proven' | 'refused'
  sentMs: number
  retryMs: number
  readonly waiters: ((status: Status | undefined) => void)[]
}

/** A proof to be sent now. */
export interface NextProof {
  readonly key: AddressKey
  readonly options: ProveOptions
  readonly request: number
}

/**
 * Which addresses are proven on the present connection, and which come next: in the order given, at most
 * MAX_OPEN_PROOFS on their way.
 *
 *   idle --connected--> queued --next--> open --done--> proven
 *                         ^               | --rate--> queued (first, after a pause)
 *                         +--retry--------+ --other--> refused
 */
export class ProofQueue {
  readonly #entries = new Map<string, Entry>()
  readonly #open = new Map<number, Entry>()
  /** What somebody waits for and what the relay put off goes before the rest. */
  readonly #first = new Set<Entry>()
  readonly #rest = new Set<Entry>()
  #connected = false
  #pausedUntilMs = 0

  /** Keeps the address proven until `forget`. */
  keep(key: AddressKey, options: ProveOptions): void {
    const id = hex(key.address)
    const known = this.#entries.get(id)
    if (!known) {
      this.#add(id, key, options, true)
      return
    }
    const same = known.options.create === options.create && known.options.subscribe === options.subscribe
    known.options = options
    known.kept = true
    if (same && known.state !== 'refused') return
    if (known.state === 'open') known.stale = true
    else if (known.state !== 'queued' && this.#connected) this.#enqueue(known)
  }

  forget(address: Uint8Array): void {
    const entry = this.#entries.get(hex(address))
    if (!entry) return
    entry.kept = false
    if (entry.waiters.length === 0) this.#drop(entry)
  }

  isProven(address: Uint8Array): boolean {
    return this.#entries.get(hex(address))?.state === 'proven'
  }

  /** Proves the address on this connection if it is not proven yet, before the others. Undefined: not connected. */
  once(key: AddressKey): Promise<Status | undefined> {
    if (!this.#connected) return Promise.resolve(undefined)
    const id = hex(key.address)
    const known = this.#entries.get(id)
    if (known?.state === 'proven') return Promise.resolve(STATUS.done)
    const entry = known ?? this.#add(id, key, { create: false, subscribe: false }, false)
    if (entry.state !== 'open') {
      this.#rest.delete(entry)
      this.#first.add(entry)
      entry.state = 'queued'
    }
    return new Promise((resolve) => entry.waiters.push(resolve))
  }

  connected(): void {
    this.#connected = true
    this.#pausedUntilMs = 0
    for (const entry of this.#entries.values()) this.#enqueue(entry)
  }

  disconnected(): void {
    this.#connected = false
    this.#first.clear()
    this.#rest.clear()
    this.#open.clear()
    for (const entry of this.#entries.values()) {
      entry.state = 'idle'
      entry.stale = false
      for (const waiter of entry.waiters.splice(0)) waiter(undefined)
      if (!entry.kept) this.#drop(entry)
    }
  }

  /** The next proof to be sent, or undefined where none may be sent now. */
  next(nextRequest: () => number, nowMs: number): NextProof | undefined {
    if (!this.#connected || this.#open.size >= MAX_OPEN_PROOFS || nowMs < this.#pausedUntilMs)
      return undefined
    const [entry] = this.#first.size > 0 ? this.#first : this.#rest
    if (!entry) return undefined
    this.#first.delete(entry)
    this.#rest.delete(entry)
    entry.state = 'open'
    entry.sentMs = nowMs
    const request = nextRequest()
    this.#open.set(request, entry)
    return { key: entry.key, options: entry.options, request }
  }

  has(request: number): boolean {
    return this.#open.has(request)
  }

  /** The relay's answer. Returns the address where it is one of those kept and the answer is final for now. */
  answered(
    request: number,
    status: Status,
    times: { readonly nowMs: number; readonly pauseMs: number; readonly retryMs: number },
  ): Uint8Array | undefined {
    const entry = this.#open.get(request)
    if (!entry) return undefined
    this.#open.delete(request)
    if (status === STATUS.rate) {
      this.#pausedUntilMs = times.nowMs + times.pauseMs
      entry.state = 'queued'
      this.#first.add(entry)
      return undefined
    }
    entry.state = status === STATUS.done ? 'proven' : 'refused'
    entry.retryMs = times.nowMs + times.retryMs
    for (const waiter of entry.waiters.splice(0)) waiter(status)
    if (!entry.kept) {
      this.#drop(entry)
      return undefined
    }
    if (entry.stale) this.#enqueue(entry)
    entry.stale = false
    return entry.key.address
  }

  /** Queues again what was refused long enough ago. Answers how long the oldest proof has waited for its answer. */
  tick(nowMs: number): number {
    for (const entry of this.#entries.values()) {
      if (entry.state === 'refused' && nowMs >= entry.retryMs) this.#enqueue(entry)
    }
    let oldestMs = nowMs
    for (const { sentMs } of this.#open.values()) oldestMs = Math.min(oldestMs, sentMs)
    return nowMs - oldestMs
  }

  #add(id: string, key: AddressKey, options: ProveOptions, kept: boolean): Entry {
    const entry: Entry = {
      key,
      options,
      kept,
      stale: false,
      state: 'idle',
      sentMs: 0,
      retryMs: 0,
      waiters: [],
    }
    this.#entries.set(id, entry)
    if (this.#connected) this.#enqueue(entry)
    return entry
  }

  #enqueue(entry: Entry): void {
    entry.state = 'queued'
    this.#rest.add(entry)
  }

  #drop(entry: Entry): void {
    const id = hex(entry.key.address)
    if (this.#entries.get(id) === entry) this.#entries.delete(id)
    this.#first.delete(entry)
    this.#rest.delete(entry)
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
