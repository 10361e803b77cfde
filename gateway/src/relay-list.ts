import { readJsonFile, writeFileDurably, type Reporter } from '@fieldwhisper/host'
import { MAX_RELAYS, type RelayInfo } from '@fieldwhisper/protocol'
import { join } from 'node:path'
import { z } from 'zod'
import { GatewayError } from './errors.js'

const FILE = 'relays.json'

const schema = z.array(
  z
    .strictObject({ url: z.string(), token: z.string().optional(), fingerprint: z.string().optional() })
    .transform(({ url, token, fingerprint }): RelayInfo => ({
      url,
      ...(token !== undefined && { token }),
      ...(fingerprint !== undefined && { fingerprint }),
    })),
)

/** The relays that `gateway relays` added, beside those of the configuration. */
export function loadRelayList(stateDir: string, reporter: Reporter): RelayInfo[] {
  return readJsonFile(join(stateDir, FILE), { schema, reporter }) ?? []
}

export function saveRelayList(stateDir: string, relays: readonly RelayInfo[]): void {
  writeFileDurably(join(stateDir, FILE), `${JSON.stringify(relays, null, 2)}\n`)
}

/** Throws GatewayError `FW_RELAY_URL_INVALID`, `FW_RELAYS_FULL`. */
export function addRelay(relays: readonly RelayInfo[], added: RelayInfo): RelayInfo[] {
  if (!/^wss?:\/\/[^\s/]+\/?$/.test(added.url) || !URL.canParse(added.url)) {
    throw new GatewayError(
      'FW_RELAY_URL_INVALID',
      `${added.url} is not a relay: ws://host:port or wss://host:port is expected`,
    )
  }
  const others = relays.filter(({ url }) => url !== added.url)
  if (others.length >= MAX_RELAYS)
    throw new GatewayError('FW_RELAYS_FULL', `at most ${MAX_RELAYS} relays can be named`)
  return [...others, added]
}

/** Relays by URL, each once; the first mention counts. */
export function mergeRelays(...lists: readonly (readonly RelayInfo[])[]): RelayInfo[] {
  const byUrl = new Map<string, RelayInfo>()
  for (const relay of lists.flat()) if (!byUrl.has(relay.url)) byUrl.set(relay.url, relay)
  return [...byUrl.values()].slice(0, MAX_RELAYS)
}
