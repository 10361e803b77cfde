import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { errorText } from '@fieldwhisper/host'
import { RelayError } from '../errors.js'

export interface TlsFiles {
  /** PEM: the certificate, then any intermediate ones. */
  readonly cert: Buffer
  readonly key: Buffer
  /** SHA-256 of the certificate, lower-case hexadecimal: what clients are given to recognise it by. */
  readonly fingerprint: string
}

/** Reads certificate and key and checks that they fit. Throws RelayError `FW_RELAY_TLS_INVALID`. */
export function readTls(paths: { readonly cert: string; readonly key: string }): TlsFiles {
  try {
    const cert = readFileSync(paths.cert)
    const key = readFileSync(paths.key)
    createSecureContext({ cert, key })
    const fingerprint = new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase()
    return { cert, key, fingerprint }
  } catch (error) {
    const text = `The TLS certificate ${paths.cert} and key ${paths.key} cannot be used: ${errorText(error)}`
    throw new RelayError('FW_RELAY_TLS_INVALID', text, { cause: error })
  }
}
