import { hostname, networkInterfaces } from 'node:os'
import { MAX_NAMES, NAMES_MS } from '../constants.js'

/**
 * The names under which clients may dial this relay and sign their proofs: `configured`, or else host name, host
 * name.local, localhost and the addresses of its interfaces. Never what a request claims to have dialled.
 */
export function relayNames(
  configured: readonly string[] | undefined,
  monoMs: () => number,
): () => readonly string[] {
  if (configured && configured.length > 0) {
    const names = [...new Set(configured.map(asDialled))].slice(0, MAX_NAMES)
    return () => names
  }
  let names: readonly string[] = []
  let readMs = -Infinity
  return () => {
    const now = monoMs()
    if (now - readMs >= NAMES_MS) {
      names = ownNames()
      readMs = now
    }
    return names
  }
}

function ownNames(): readonly string[] {
  const host = hostname()
  const addresses = Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    // A link-local IPv6 address needs a zone, which a URL cannot carry.
    .filter(({ family, scopeid }) => family === 'IPv4' || !scopeid)
    .map(({ address }) => address)
  const names = [host, `${host.split('.')[0]}.local`, 'localhost', ...addresses]
  return [...new Set(names.map(asDialled))].slice(0, MAX_NAMES)
}

/** A host as it reads in a URL that a client dialled: lower case, addresses in their one form, no brackets. */
function asDialled(host: string): string {
  const bracketed = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host
  try {
    return new URL(`ws://${bracketed}`).hostname.replace(/^\[|\]$/g, '')
  } catch {
    return host.toLowerCase()
  }
}
