import { readFileSync, statSync } from 'node:fs'
import { createSecureContext, type SecureContext } from 'node:tls'
import { errorText, type Reporter } from '@fieldwhisper/host'
import { GatewayError } from '../errors.js'

/** PEM files, by path. */
export interface TlsPaths {
  /** Certificates of the authorities that are believed, in place of those that this machine knows. */
  readonly ca?: string
  /** Our own certificate, then any intermediate ones, and its private key: both or none. */
  readonly cert?: string
  readonly key?: string
}

export interface TlsFiles {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  readonly context: SecureContext
}

/**
 * Reads the files and checks that key and certificate fit. A key that other users of this machine may read is reported
 * (`FW_MQTT_KEY_OPEN`). Throws GatewayError `FW_MQTT_TLS_FILES`, which names the file.
 */
export function readTlsFiles({ ca, cert, key }: TlsPaths, reporter: Reporter): TlsFiles {
  const files = {
    ...(ca !== undefined && { ca: readPem(ca) }),
    ...(cert !== undefined && { cert: readPem(cert) }),
    ...(key !== undefined && { key: readPem(key) }),
  }
  if (key !== undefined) warnOfOpenKey(key, reporter)
  try {
    return { ...files, context: createSecureContext({ ...files, minVersion: 'TLSv1.2' }) }
  } catch (cause) {
    const names = [ca, cert, key].filter((name) => name !== undefined).join(', ')
    throw failed(`The TLS files ${names} cannot be used: ${errorText(cause)}.`, cause)
  }
}

function readPem(path: string): Buffer {
  try {
    const bytes = readFileSync(path)
    if (!bytes.includes('-----BEGIN ')) throw new SyntaxError('it is not a PEM file')
    return bytes
  } catch (cause) {
    throw failed(`The TLS file ${path} cannot be used: ${errorText(cause)}.`, cause)
  }
}

function warnOfOpenKey(path: string, reporter: Reporter): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0
  if ((mode & 0o077) === 0) return
  const text = 'The private key for MQTT may be read by other users of this machine: chmod 600.'
  reporter.event('warn', 'FW_MQTT_KEY_OPEN', text, { file: path, mode: (mode & 0o777).toString(8) })
}

function failed(text: string, cause: unknown): GatewayError {
  return new GatewayError('FW_MQTT_TLS_FILES', text, { cause })
}
