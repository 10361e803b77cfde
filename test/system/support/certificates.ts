/** Certificates for one test, made with openssl: authorities, servers, clients, and every kind of wrong one. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place } from './process.js'

export interface Signed {
  readonly cert: string
  readonly key: string
}

export interface Authority {
  /** Its own certificate, PEM. */
  readonly cert: string
  /** `names`: what stands in the certificate, such as `IP:127.0.0.1` or `DNS:broker`. Negative days: expired. */
  sign(name: string, names: string, days?: number): Promise<Signed>
}

/** Makes an authority in a folder of the test. */
export async function authority(place: Place, folder: string, name: string): Promise<Authority> {
  const at = (file: string): string => join(folder, file)
  const openssl = async (...args: string[]): Promise<void> => {
    const done = await place.run('openssl', args)
    if (done.code !== 0) throw new Error(`openssl ${args[0]!} failed: ${done.stderr}`)
  }
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const [cert, key] = [at(`${name}.crt`), at(`${name}.key`)]
  const subject = ['-subj', `/CN=${name}`]
  await openssl('req', '-x509', ...newKey, '-keyout', key, '-out', cert, '-days', '2', ...subject)
  return {
    cert,
    async sign(who, names, days = 2) {
      const request = at(`${who}.csr`)
      const extensions = at(`${who}.ext`)
      const signed = { cert: at(`${who}.crt`), key: at(`${who}.key`) }
      writeFileSync(extensions, `subjectAltName=${names}\nbasicConstraints=CA:FALSE\n`)
      await openssl('req', ...newKey, '-keyout', signed.key, '-out', request, '-subj', `/CN=${who}`)
      const signing = ['-in', request, '-CA', cert, '-CAkey', key, '-CAcreateserial', '-extfile', extensions]
      await openssl('x509', '-req', ...signing, '-days', String(days), '-out', signed.cert)
      return signed
    },
  }
}

/** Certificates one behind the other in one file. */
export function bundle(folder: string, name: string, ...files: readonly string[]): string {
  const path = join(folder, name)
  writeFileSync(path, files.map((file) => readFileSync(file, 'utf8')).join(''))
  return path
}
