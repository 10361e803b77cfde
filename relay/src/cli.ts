#!/usr/bin/env node
import { join, resolve } from 'node:path'
import { askControl, createReporter, ensureStateDir, runProgram, serveControl } from '@fieldwhisper/host'
import type { CliInput, CliOption, CliProgram } from '@fieldwhisper/host'
import { loadRelayConfig, parseListen } from './config.js'
import type { RelayProgramConfig } from './config.js'
import { startRelay } from './relay.js'
import type { RelayStatus, RunningRelay } from './relay.js'
import { TOKEN_FILE } from './server/token.js'
import { VERSION } from './version.js'

const DEFAULT_STATE = '.fieldwhisper/relay'

const state: CliOption = {
  type: 'string',
  value: 'DIR',
  summary: `folder for packets and access token (default: that of the configuration, else ${DEFAULT_STATE})`,
}
const config: CliOption = {
  type: 'string',
  value: 'FILE',
  summary: 'configuration in YAML; everything has a default',
}

const program: CliProgram = {
  name: 'fieldwhisper-relay',
  summary: 'keeps sealed packets for gateways and agents until they fetch them',
  version: VERSION,
  commands: {
    run: {
      summary: 'runs the relay until it is stopped',
      example: 'fieldwhisper-relay run --state /var/lib/fieldwhisper-relay --listen 0.0.0.0:24780',
      options: {
        state,
        config,
        listen: { type: 'string', value: 'HOST:PORT', summary: 'instead of the configured address' },
      },
      run,
    },
    status: {
      summary: 'shows what the running relay holds; exit code 0 when it is healthy',
      example: 'fieldwhisper-relay status --state /var/lib/fieldwhisper-relay --json',
      options: { state, config, json: { type: 'boolean', summary: 'one JSON object' } },
      run: status,
    },
  },
}

async function run({ options, signal }: CliInput): Promise<number> {
  const listen = typeof options['listen'] === 'string' ? parseListen(options['listen']) : undefined
  if (options['listen'] !== undefined && !listen) {
    process.stderr.write('error FW_USAGE: --listen needs host:port, such as 0.0.0.0:24780 or [::]:24780.\n')
    return 2
  }
  const config = configOf(options)
  const stateDir = stateOf(options, config)
  const reporter = createReporter(config.log)
  ensureStateDir(stateDir, reporter)
  let relay: RunningRelay | undefined
  const handlers = { status: () => relay?.status() ?? null }
  const control = await serveControl(stateDir, handlers, reporter)
  try {
    const failed = new AbortController()
    relay = await startRelay({
      stateDir,
      reporter,
      config,
      ...(listen && { listen }),
      onFatal: () => failed.abort(),
    })
    await aborted(AbortSignal.any([signal, failed.signal]))
    // Nothing more can be written: whoever supervises this process starts it again on what the disk has.
    if (failed.signal.aborted) process.exit(1)
    await relay.stop()
    return 0
  } finally {
    await control.close()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function status({ options }: CliInput): Promise<number> {
  const stateDir = stateOf(options, configOf(options))
  const reply = await askControl(stateDir, 'status')
  const found = reply && 'ok' in reply ? (reply.ok as RelayStatus | null) : null
  if (options['json'] === true) {
    process.stdout.write(`${JSON.stringify(found ?? { ok: false, running: false })}\n`)
  } else if (!found) {
    process.stdout.write(reply ? 'The relay is starting.\n' : `No relay runs on ${stateDir}.\n`)
  } else {
    process.stdout.write(statusText(found, join(stateDir, TOKEN_FILE)))
  }
  return found?.ok === true ? 0 : 1
}

function statusText(status: RelayStatus, tokenFile: string): string {
  const used = ((100 * status.used_bytes) / status.total_bytes).toFixed(1)
  const rows = [
    ['relay', status.ok ? 'healthy' : 'the disk refuses writes'],
    ['listens on', `${status.listen}${status.tls_fingerprint === null ? ' (no TLS)' : ' (TLS)'}`],
    ['TLS fingerprint', status.tls_fingerprint ?? '-'],
    ['names', status.names.join(', ')],
    ['access token', `in ${tokenFile}, unless the configuration has one`],
    ['without token', status.open ? 'may use a tenth' : 'refused'],
    ['connections', String(status.connections)],
    ['mailboxes', String(status.mailboxes)],
    ['packets held', `${status.packets} (${status.bytes} bytes, ${used} % of the room)`],
    ['prekey records', String(status.records)],
  ]
  return rows.map(([name, value]) => `${name!.padEnd(16)} ${value}\n`).join('')
}

function configOf(options: CliInput['options']): RelayProgramConfig {
  return loadRelayConfig(options['config'] as string | undefined)
}

function stateOf(options: CliInput['options'], config: RelayProgramConfig): string {
  return resolve((options['state'] as string | undefined) ?? config.state ?? DEFAULT_STATE)
}

process.exitCode = await runProgram(program)
