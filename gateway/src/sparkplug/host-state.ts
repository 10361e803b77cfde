import { MAX_STATE_BYTES } from './constants.js'

/** What the primary host says of itself. Without a time it is the bare text of before 3.0. */
export interface HostState {
  readonly online: boolean
  /** Unix milliseconds. */
  readonly timestamp?: number
}

/** STATE of 3.0: JSON with `online` and `timestamp`. Undefined for anything else. */
export function parseState(payload: Uint8Array): HostState | undefined {
  const json = parseJson(payload)
  if (typeof json !== 'object' || json === null) return undefined
  const { online, timestamp } = json as Record<string, unknown>
  if (typeof online !== 'boolean') return undefined
  return typeof timestamp === 'number' && Number.isSafeInteger(timestamp) ? { online, timestamp } : undefined
}

/** STATE of 2.2: the text ONLINE or OFFLINE. */
export function parseLegacyState(payload: Uint8Array): HostState | undefined {
  if (payload.length > MAX_STATE_BYTES) return undefined
  const text = Buffer.from(payload).toString()
  return text === 'ONLINE' ? { online: true } : text === 'OFFLINE' ? { online: false } : undefined
}

function parseJson(payload: Uint8Array): unknown {
  if (payload.length > MAX_STATE_BYTES) return undefined
  try {
    return JSON.parse(Buffer.from(payload).toString())
  } catch {
    return undefined
  }
}

/**
 * Follows the primary host over one connection. A word that is older than one heard before is a will that came late, and is
 * ignored. Each connection begins anew: its retained word is the newest there is, and a host whose clock was set back is
 * believed at the latest then.
 */
export class HostWatch {
  #timestamp = -Infinity
  /** The host speaks 3.0: what it may also say in the old form has no time and is not needed. */
  #modern = false

  /** True if this is the host's word as of now. */
  accept({ timestamp }: HostState): boolean {
    if (timestamp === undefined) return !this.#modern
    if (timestamp < this.#timestamp) return false
    this.#modern = true
    this.#timestamp = timestamp
    return true
  }
}
