import { asArray, asText, type CborValue } from '../cbor.js'
import { MAX_RELAYS } from '../constants.js'

/** How to reach one relay. */
export interface RelayInfo {
  /** ws:// or wss:// */
  readonly url: string
  /** Access token of the relay's operator. */
  readonly token?: string
  /** SHA-256 of the relay's TLS certificate, lower-case hexadecimal. */
  readonly fingerprint?: string
}

const MAX_URL_BYTES = 256
const MAX_TOKEN_BYTES = 128
const MAX_FINGERPRINT_BYTES = 64

export function relaysToCbor(relays: readonly RelayInfo[]): CborValue {
  return relays.map((relay) => [relay.url, relay.token ?? '', relay.fingerprint ?? ''])
}

export function relaysFromCbor(value: CborValue | undefined): RelayInfo[] {
  return asArray(value, 'relays', 0, MAX_RELAYS).map((entry) => {
    const [url, token, fingerprint] = asArray(entry, 'relay', 3)
    const tokenText = asText(token, 'relay token', 0, MAX_TOKEN_BYTES)
    const fingerprintText = asText(fingerprint, 'relay fingerprint', 0, MAX_FINGERPRINT_BYTES)
    return {
      url: asText(url, 'relay URL', 1, MAX_URL_BYTES),
      ...(tokenText && { token: tokenText }),
      ...(fingerprintText && { fingerprint: fingerprintText }),
    }
  })
}
