import { isIPv4 } from 'node:net'
import { SPARE_SOCKETS } from '../constants.js'
import { part } from '../core/mailbox.js'
import type { RelayLimits } from '../limits.js'

/** Who counts as one source: an IPv4 address, or the /64 network of an IPv6 address. Undefined for loopback. */
export function sourceOf(remoteAddress: string | undefined): string | undefined {
  if (remoteAddress === undefined) return 'unknown'
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(remoteAddress)?.[1]
  const address = mapped ?? remoteAddress
  if (isIPv4(address)) return address.startsWith('127.') ? undefined : address
  if (address === '::1') return undefined
  return network64(address.split('%')[0]!)
}

/** The first four groups of an IPv6 address as the kernel prints it. */
function network64(address: string): string {
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const behind = tail === '' ? 0 : tail.split(':').length
    while (groups.length < 8 - behind) groups.push('0')
  }
  return `${groups.slice(0, 4).join(':')}/64`
}

export interface AdmissionLimits {
  readonly total: number
  readonly perSource: number
}

/** Counts what is open, in all and per source. */
export class Admission {
  readonly #limits: AdmissionLimits
  readonly #sources = new Map<string, number>()
  #open = 0

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
  }

  get open(): number {
    return this.#open
  }

  /** The way out, to be called once; or undefined when there is no room. Loopback counts only in all. */
  enter(source: string | undefined): (() => void) | undefined {
    const mine = source === undefined ? 0 : (this.#sources.get(source) ?? 0)
    if (this.#open >= this.#limits.total || mine >= this.#limits.perSource) return undefined
    this.#open++
    if (source !== undefined) this.#sources.set(source, mine + 1)
    let inside = true
    return () => {
      if (!inside) return
      inside = false
      this.#open--
      if (source === undefined) return
      const left = this.#sources.get(source)! - 1
      if (left === 0) this.#sources.delete(source)
      else this.#sources.set(source, left)
    }
  }
}

/** The places of a relay: all of them, and those of clients without the access token. */
export function admissions(limits: RelayLimits): { readonly all: Admission; readonly strangers: Admission } {
  const { connections, connectionsPerSource, strangersPerSource } = limits
  return {
    all: new Admission({ total: connections + SPARE_SOCKETS, perSource: connectionsPerSource }),
    strangers: new Admission({
      total: Math.max(1, part(connections, limits)),
      perSource: Math.min(strangersPerSource, connectionsPerSource),
    }),
  }
}
