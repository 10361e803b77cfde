import type { Details } from './errors.js'
import { CONNACK_BAD_CREDENTIALS, CONNACK_NOT_AUTHORIZED, CONNACK_UNAVAILABLE } from './constants.js'

/** Why there is no connection, as a key of the gateway node's catalogue (`link.…`). */
export interface Trouble {
  readonly key: string
  readonly details: Details
}

const NOBODY_THERE = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EHOSTDOWN'])
const NAME_UNKNOWN = new Set(['ENOTFOUND', 'EAI_AGAIN'])
const NOT_TRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_UNTRUSTED',
  'CERT_SIGNATURE_FAILURE',
])

/**
 * What an error of the client library means for the person at the editor.
 * @param connected it came after CONNACK
 */
export function troubleOf(error: unknown, address: string, connected: boolean): Trouble {
  const details = { address }
  if (connected) return { key: 'link.lost', details }
  const code = codeOf(error)
  if (code === CONNACK_BAD_CREDENTIALS || code === CONNACK_NOT_AUTHORIZED)
    return { key: 'link.password', details }
  if (code === CONNACK_UNAVAILABLE) return { key: 'link.full', details }
  if (typeof code === 'number') return { key: 'link.refused', details: { ...details, code } }
  if (code === undefined) {
    const silent = error instanceof Error && error.message === 'connack timeout'
    return { key: silent ? 'link.silent' : 'link.closed', details }
  }
  if (NOBODY_THERE.has(code)) return { key: 'link.nobody', details }
  if (NAME_UNKNOWN.has(code)) return { key: 'link.name', details }
  if (NOT_TRUSTED.has(code)) return { key: 'link.certificate-unknown', details }
  if (code === 'CERT_HAS_EXPIRED') return { key: 'link.certificate-expired', details }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return { key: 'link.certificate-name', details }
  if (code === 'EPROTO' || /^ERR_(SSL|TLS|OSSL)_/.test(code)) return { key: 'link.tls', details }
  return { key: 'link.closed', details }
}

function codeOf(error: unknown): string | number | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' || typeof error.code === 'number' ? error.code : undefined
}
