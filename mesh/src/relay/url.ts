import { MeshError } from '../errors.js'
import { RELAY_PATH } from './constants.js'

export interface RelayTarget {
  /** Where to connect, path included. */
  readonly url: URL
  /** The host as dialled, lower case, without port and brackets: what proofs are signed for. */
  readonly name: string
  /** 64 lower-case hexadecimal digits. */
  readonly fingerprint: string | undefined
}

/**
 * A relay's URL, ws:// or wss://, and the SHA-256 fingerprint of its certificate (hexadecimal, colons allowed), if one is
 * pinned, and the access token, which is only checked. Throws MeshError `FW_RELAY_URL_INVALID`.
 */
export function relayTarget(text: string, fingerprint?: string, token?: string): RelayTarget {
  let url: URL
  try {
    url = new URL(text)
  } catch (error) {
    throw invalid('is not a URL such as ws://192.168.1.20:24780', error)
  }
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') throw invalid('must begin with ws:// or wss://')
  if (url.username || url.password)
    throw invalid('must not hold a user or password; the access token has a place of its own')
  if (url.search || url.hash) throw invalid('must not hold a "?" or "#"')
  const path = url.pathname.replace(/\/+$/, '')
  url.pathname = path.endsWith(RELAY_PATH) ? path : `${path}${RELAY_PATH}`
  const pinned = fingerprint?.replaceAll(':', '').toLowerCase()
  if (pinned !== undefined && !/^[0-9a-f]{64}$/.test(pinned)) {
    throw invalid('has a fingerprint that is not 64 hexadecimal digits')
  }
  if (pinned !== undefined && url.protocol !== 'wss:')
    throw invalid('has a fingerprint, so it must begin with wss://')
  if (token !== undefined && !/^[\x21-\x7e]{1,128}$/.test(token)) {
    throw invalid('has an access token that is not 1 to 128 printable characters without spaces')
  }
  return { url, name: url.hostname.replace(/^\[|\]$/g, '').toLowerCase(), fingerprint: pinned }
}

function invalid(what: string, cause?: unknown): MeshError {
  return new MeshError('FW_RELAY_URL_INVALID', `The address of a relay ${what}.`, { cause })
}
