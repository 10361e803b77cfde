import { join } from 'node:path'
import { ensureStateDir, openRunningTime, openStore, systemClock } from '@fieldwhisper/host'
import type { Clock, HostError, Reporter, Store } from '@fieldwhisper/host'
import type { ListenAddress, RelayConfig } from './config.js'
import { loadRelayConfig } from './config.js'
import { PACKET_OVERHEAD_BYTES, SWEEP_MS, TABLE, TABLES } from './constants.js'
import { Directory } from './core/directory.js'
import { Mailboxes } from './core/mailboxes.js'
import { refuseNewerRecords } from './core/records.js'
import { proofBudgets } from './core/proofs.js'
import { alarmClock } from './server/alarm.js'
import type { RelayHealth } from './server/http.js'
import { relayNames } from './server/names.js'
import { RelayServer } from './server/server.js'
import { readTls } from './server/tls.js'
import type { TlsFiles } from './server/tls.js'
import { accessToken, tokenCheck } from './server/token.js'
import { watchDisk } from './server/disk.js'
import { VERSION } from './version.js'

export interface RelayOptions {
  /** Folder of this relay alone: store and access token. */
  readonly stateDir: string
  readonly reporter: Reporter
  /** As `loadRelayConfig` returns it; the defaults where absent. */
  readonly config?: RelayConfig
  /** Instead of the configured address. */
  readonly listen?: ListenAddress
  readonly clock?: Clock
  /** The store can promise nothing more: the process should end and be started again. */
  readonly onFatal?: (error: HostError) => void
}

export interface RelayStatus extends RelayHealth {
  readonly listen: string
  readonly tls_fingerprint: string | null
  readonly open: boolean
  readonly names: readonly string[]
  readonly connections: number
  readonly records: number
  /** Room of all mailboxes together and what of it is used, overhead included. */
  readonly total_bytes: number
  readonly used_bytes: number
}

export interface RunningRelay {
  readonly port: number
  /** What a client must show to count as a member. */
  readonly token: string
  /** SHA-256 of the TLS certificate, lower-case hexadecimal; undefined without TLS. */
  readonly fingerprint: string | undefined
  status(): RelayStatus
  /** Drops what is beyond its time. Done every minute anyway. */
  sweep(): void
  /** Tells the clients, writes what waits, and resolves when port and files are free. */
  stop(): Promise<void>
}

/**
 * Starts a relay in this process. Rejects with RelayError (`FW_RELAY_LISTEN_FAILED`, `FW_RELAY_TLS_INVALID`,
 * `FW_RELAY_TOKEN_INVALID`, `FW_RELAY_STATE_NEWER`) or HostError (state folder, store).
 */
export async function startRelay(options: RelayOptions): Promise<RunningRelay> {
  const { stateDir, reporter } = options
  const config = options.config ?? loadRelayConfig()
  const clock = options.clock ?? systemClock(reporter)
  ensureStateDir(stateDir, reporter)
  const tls = config.tls && readTls(config.tls)
  const token = accessToken(stateDir, reporter, config.access_token)
  const engine = await openStore({
    dir: join(stateDir, 'store'),
    tables: TABLES,
    reporter,
    clock,
    refuseNewer: refuseNewerRecords,
    ...(options.onFatal && { onFatal: options.onFatal }),
  })
  const closing: (() => Promise<void> | void)[] = [() => engine.close()]
  const stop = async (): Promise<void> => {
    for (const close of closing.splice(0).reverse()) await close()
  }
  try {
    const parts = { engine, config, tls, token, clock, listen: options.listen ?? config.listen, reporter }
    return await assemble(parts, closing, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

interface Parts {
  readonly engine: Store
  readonly config: RelayConfig
  readonly listen: ListenAddress
  readonly tls: TlsFiles | undefined
  readonly token: string
  readonly clock: Clock
  readonly reporter: Reporter
}

/** Puts the parts together; `closing` gets what must be closed, in the order in which it was opened. */
async function assemble(
  { engine, config, listen, tls, token, clock, reporter }: Parts,
  closing: (() => Promise<void> | void)[],
  stop: () => Promise<void>,
): Promise<RunningRelay> {
  const monoMs = (): number => clock.monoMs()
  const disk = watchDisk(engine, reporter, monoMs)
  const { store } = disk
  const key = Buffer.from('running-time')
  const running = await openRunningTime({ store, table: TABLE.state, key, clock, reporter })
  closing.push(() => running.stop())
  const runningMs = (): number => running.nowMs()

  const { limits } = config
  const alarm = alarmClock(runningMs, (now) => mailboxes.tick(now))
  const mailboxes = new Mailboxes({ store, limits, alarm: alarm.set }, runningMs())
  closing.push(async () => {
    alarm.stop()
    await mailboxes.close()
  })
  const directory = new Directory(store, limits)
  const names = relayNames(config.names, monoMs)
  const health = (): RelayHealth => ({ ok: disk.ok(), version: VERSION, ...mailboxes.counts })
  const server = new RelayServer({
    listen,
    tls,
    open: config.open,
    isMember: tokenCheck(token),
    limits,
    shared: {
      mailboxes,
      directory,
      names,
      runningMs,
      ...proofBudgets(limits, monoMs()),
    },
    health,
    monoMs,
    reporter,
  })
  const port = await server.start()
  closing.push(() => server.stop())
  const sweepNow = (): void => sweep(mailboxes, runningMs(), reporter)
  const sweeps = setInterval(sweepNow, SWEEP_MS)
  closing.push(() => clearInterval(sweeps))

  const shown = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${port}`
  const { mailboxes: held, packets } = mailboxes.counts
  const fields = { listen: shown, tls: tls !== undefined, open: config.open, mailboxes: held, packets }
  reporter.event('info', 'FW_RELAY_STARTED', 'The relay is ready.', fields)
  let stopped: Promise<void> | undefined
  return {
    port,
    token,
    fingerprint: tls?.fingerprint,
    status: () => ({
      ...health(),
      listen: shown,
      tls_fingerprint: tls?.fingerprint ?? null,
      open: config.open,
      names: names(),
      connections: server.connections,
      records: directory.size,
      total_bytes: limits.totalBytes,
      used_bytes: mailboxes.counts.bytes + mailboxes.counts.packets * PACKET_OVERHEAD_BYTES,
    }),
    sweep: sweepNow,
    stop: () =>
      (stopped ??= stop().then(() => reporter.event('info', 'FW_RELAY_STOPPED', 'The relay stopped.'))),
  }
}

function sweep(mailboxes: Mailboxes, now: number, reporter: Reporter): void {
  const { packets, mailboxes: ended } = mailboxes.sweep(now)
  if (packets + ended === 0) return
  const text = 'Packets nobody fetched in their time, or mailboxes nobody used, were dropped.'
  reporter.event('info', 'FW_RELAY_EXPIRED', text, { packets, mailboxes: ended })
}
