import { accessToken, startRelay, type RelayConfig, type RunningRelay } from '@fieldwhisper/relay'
import type { Clock, HostError, Reporter } from '@fieldwhisper/host'
import type { RelayInfo } from '@fieldwhisper/protocol'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'

/** A relay inside the gateway process, for a site with one Pi. */
export function startEmbeddedRelay(options: {
  readonly stateDir: string
  readonly config: RelayConfig
  readonly reporter: Reporter
  readonly clock: Clock
  readonly onFatal: (error: HostError) => void
}): Promise<RunningRelay> {
  return startRelay({ ...options, stateDir: relayDir(options.stateDir) })
}

/** How this gateway itself reaches it. */
export function ownRelayInfo(relay: RunningRelay, tls: boolean): RelayInfo {
  return {
    url: `${tls ? 'wss' : 'ws'}://127.0.0.1:${relay.port}`,
    token: relay.token,
    ...(relay.fingerprint && { fingerprint: relay.fingerprint }),
  }
}

/** How agents reach it: by the addresses of this machine, unless the configuration names better ones. */
export function toldRelayInfos(
  stateDir: string,
  config: RelayConfig,
  urls: readonly string[],
  reporter: Reporter,
): RelayInfo[] {
  mkdirSync(relayDir(stateDir), { recursive: true, mode: 0o700 })
  const token = accessToken(relayDir(stateDir), reporter, config.access_token)
  const scheme = config.tls ? 'wss' : 'ws'
  const told =
    urls.length > 0 ? urls : lanAddresses().map((host) => `${scheme}://${host}:${config.listen.port}`)
  const fingerprint = config.tls && certificateFingerprint(config.tls.cert)
  return told.map((url) => ({ url, token, ...(fingerprint && { fingerprint }) }))
}

/** Undefined where it does not read; then the relay does not start either, and says why. */
function certificateFingerprint(path: string): string | undefined {
  try {
    return new X509Certificate(readFileSync(path)).fingerprint256.replaceAll(':', '').toLowerCase()
  } catch {
    return undefined
  }
}

function relayDir(stateDir: string): string {
  return join(stateDir, 'relay')
}

/** IPv4 addresses that other machines can use; loopback only where there is nothing else. */
function lanAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const ipv4 = all.filter(({ family }) => family === 'IPv4')
  const outside = ipv4.filter(({ internal }) => !internal)
  return (outside.length > 0 ? outside : ipv4).slice(0, 4).map(({ address }) => address)
}
