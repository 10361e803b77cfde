import { errorText, readJsonFile, writeJsonFile, type Reporter } from '@fieldwhisper/host'
import { relayTarget } from '@fieldwhisper/mesh'
import { MAX_RELAYS, type RelayInfo } from '@fieldwhisper/protocol'
import { join } from 'node:path'
import { z } from 'zod'
import { GatewayError } from './errors.js'

export const RELAYS_FILE = 'relays.json'
/** What fits a WELCOME. */
const MAX_URL_BYTES = 256

const list = z.array(
  z
    .strictObject({ url: z.string(), token: z.string().optional(), fingerprint: z.string().optional() })
    .transform(({ url, token, fingerprint }): RelayInfo => ({
      url,
      ...(token !== undefined && { token }),
      ...(fingerprint !== undefined && { fingerprint }),
    })),
)

/** A bare list is one that a person wrote. */
const schema = z.union([
  list,
  z.strictObject({ version: z.literal(1), relays: list }).transform(({ relays }) => relays),
])

/** The relays that `gateway relays` added, beside those of the configuration. */
export function loadRelayList(stateDir: string, reporter: Reporter): RelayInfo[] {
  return readJsonFile(join(stateDir, RELAYS_FILE), { schema, reporter }) ?? []
}

export function saveRelayList(stateDir: string, relays: readonly RelayInfo[]): void {
  writeJsonFile(join(stateDir, RELAYS_FILE), { version: 1, relays }, 2)
}

/**
 * The list with one more, or with new facts about one. `named`: all relays that agents are told already. Throws GatewayError
 * `FW_RELAY_URL_INVALID`, `FW_RELAYS_FULL`.
 */
export function addRelay(
  relays: readonly RelayInfo[],
  added: RelayInfo,
  named: readonly RelayInfo[],
): RelayInfo[] {
  const { url, fingerprint, token } = added
  if (!/^wss?:\/\/[^\s/]+\/?$/.test(url) || Buffer.byteLength(url) > MAX_URL_BYTES) {
    throw new GatewayError(
      'FW_RELAY_URL_INVALID',
      `${url.slice(0, MAX_URL_BYTES)} is not a relay: ws://host:port or wss://host:port is expected`,
    )
  }
  try {
    relayTarget(url, fingerprint, token)
  } catch (cause) {
    throw new GatewayError('FW_RELAY_URL_INVALID', errorText(cause), { cause })
  }
  const others = new Set([...named, ...relays].map((relay) => relay.url).filter((other) => other !== url))
  if (others.size >= MAX_RELAYS)
    throw new GatewayError('FW_RELAYS_FULL', `at most ${MAX_RELAYS} relays can be named`)
  return [...relays.filter((relay) => relay.url !== url), added]
}

/** Throws GatewayError `FW_RELAY_UNKNOWN`. */
export function removeRelay(relays: readonly RelayInfo[], url: string): RelayInfo[] {
  const left = relays.filter((relay) => relay.url !== url)
  if (left.length === relays.length) {
    throw new GatewayError(
      'FW_RELAY_UNKNOWN',
      `${url} was not added with this command; relays of the configuration are removed there`,
    )
  }
  return left
}

/** Relays by URL, each once; the first mention counts. */
export function mergeRelays(...lists: readonly (readonly RelayInfo[])[]): RelayInfo[] {
  const byUrl = new Map<string, RelayInfo>()
  for (const relay of lists.flat()) if (!byUrl.has(relay.url)) byUrl.set(relay.url, relay)
  return [...byUrl.values()].slice(0, MAX_RELAYS)
}
