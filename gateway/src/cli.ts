#!/usr/bin/env node
import {
  askControl,
  createReporter,
  ensureStateDir,
  parseDuration,
  runProgram,
  serveControl,
  UsageError,
  type CliInput,
  type CliOption,
  type CliProgram,
  type ProgramReporter,
} from '@fieldwhisper/host'
import { resolve } from 'node:path'
import { Gateway, openGatewayStore, siteFingerprintText } from './app.js'
import { backup, restore } from './backup/command.js'
import { BROKER_OPTIONS, brokerUsers, readBrokerCommand } from './broker-command.js'
import { DEFAULT_TTL_MS, sendCommand } from './command.js'
import { loadGatewayConfig, type GatewayConfig } from './config/index.js'
import { Meta } from './core/meta.js'
import { MAX_EVENTS } from './event-list.js'
import { createIdentity, loadIdentity } from './identity-file.js'
import { controlHandlers, events, operate } from './operator.js'
import {
  agentTable,
  backupText,
  commandText,
  eventText,
  inviteText,
  relayTable,
  restoreText,
  statusText,
} from './screens.js'
import type { GatewayStatus } from './status.js'
import { VERSION } from './version.js'

const DEFAULT_STATE = '.fieldwhisper/gateway'

const state: CliOption = {
  type: 'string',
  value: 'DIR',
  summary: `folder for identity, registry and readings on their way (default: that of the configuration, else ${DEFAULT_STATE})`,
}
const config: CliOption = {
  type: 'string',
  value: 'FILE',
  summary: 'configuration in YAML; everything has a default',
}
const passphraseFile: CliOption = {
  type: 'string',
  value: 'FILE',
  summary: 'the passphrase is the first line of this file; without it, it is asked for',
}
const json: CliOption = { type: 'boolean', summary: 'JSON instead of a table' }

const program: CliProgram = {
  name: 'fieldwhisper-gateway',
  summary: 'opens the readings of its agents and hands them to MQTT',
  version: VERSION,
  commands: {
    init: {
      summary: 'makes a new site in the state folder',
      example: 'fieldwhisper-gateway init --site bakery',
      options: {
        state,
        site: { type: 'string', value: 'NAME', summary: 'name of the site in MQTT topics', default: 'site' },
      },
      run: init,
    },
    enroll: {
      summary: 'prints an invite for one device',
      example: 'fieldwhisper-gateway enroll pump-7',
      positionals: ['NAME'],
      options: {
        state,
        config,
        replace: {
          type: 'boolean',
          summary: 'the device is new: take the name from the old one and revoke that',
        },
        confirm: { type: 'boolean', summary: 'hold its readings until `confirm NAME`' },
        plain: { type: 'boolean', summary: 'the line alone, for scripts' },
      },
      run: enroll,
    },
    agents: {
      summary: 'lists the devices',
      example: 'fieldwhisper-gateway agents',
      options: { state, config, json },
      run: agents,
    },
    revoke: {
      summary: 'shuts a device out for good',
      example: 'fieldwhisper-gateway revoke pump-7',
      positionals: ['NAME'],
      options: { state, config },
      run: revoke,
    },
    rename: {
      summary: 'gives a device another name',
      example: 'fieldwhisper-gateway rename pump-7 pump-8',
      positionals: ['NAME', 'NEW'],
      options: { state, config },
      run: rename,
    },
    confirm: {
      summary: 'agrees to a device that was enrolled with --confirm',
      example: 'fieldwhisper-gateway confirm pump-7',
      positionals: ['NAME'],
      options: { state, config },
      run: confirm,
    },
    clone: {
      summary:
        'decides which of two devices with one identity goes on: keep the first, or replace it by the later',
      example: 'fieldwhisper-gateway clone pump-7 keep',
      positionals: ['NAME', 'keep|replace'],
      options: { state, config },
      run: clone,
    },
    relays: {
      summary:
        'shows the relays that agents are told, adds one or removes one; agents hear of it by themselves',
      example: 'fieldwhisper-gateway relays --add ws://relay.lan:24780 --token TOKEN',
      options: {
        state,
        config,
        json,
        add: { type: 'string', value: 'URL', summary: 'ws://host:port or wss://host:port' },
        token: { type: 'string', value: 'TOKEN', summary: 'access token of the added relay' },
        fingerprint: { type: 'string', value: 'HEX', summary: 'SHA-256 of its TLS certificate' },
        remove: { type: 'string', value: 'URL', summary: 'a relay that was added here' },
      },
      run: relays,
    },
    run: {
      summary: 'runs the gateway until it is stopped',
      example: 'fieldwhisper-gateway run --config gateway.yaml',
      options: { state, config },
      run,
    },
    command: {
      summary:
        'has a device do something now, if its own configuration allows it, and shows what became of it; exit code 0 when it is done',
      example: `fieldwhisper-gateway command pump-7 read_now '{"source":"system"}' --ttl 10s`,
      positionals: ['NAME', 'COMMAND', '[JSON]'],
      options: {
        state,
        config,
        json: { type: 'boolean', summary: 'one JSON object' },
        ttl: {
          type: 'string',
          value: 'TIME',
          summary: 'not carried out later than this from now, up to 10m',
          default: `${DEFAULT_TTL_MS / 1_000}s`,
        },
      },
      run: command,
    },
    events: {
      summary: 'shows what happened: warnings, errors, losses, who joined; newest last, times in UTC',
      example: 'fieldwhisper-gateway events --since 12h --level warn',
      options: {
        state,
        config,
        json,
        since: {
          type: 'string',
          value: 'TIME',
          summary: 'only what happened in this time, such as 1h or 7d',
        },
        level: {
          type: 'string',
          value: 'LEVEL',
          summary: 'info, warn or error, and what is worse',
          default: 'info',
        },
        count: { type: 'string', value: 'N', summary: 'the newest so many, 1 to 10000', default: '100' },
      },
      run: showEvents,
    },
    backup: {
      summary: 'writes everything that makes this gateway into one sealed file, also while it runs',
      example: 'fieldwhisper-gateway backup /media/usb/gateway.fwbackup --config gateway.yaml',
      positionals: ['FILE'],
      options: { state, config, 'passphrase-file': passphraseFile },
      run: makeBackup,
    },
    restore: {
      summary: 'puts a backup into a new or empty state folder',
      example:
        'fieldwhisper-gateway restore /media/usb/gateway.fwbackup --state /var/lib/fieldwhisper-gateway',
      positionals: ['FILE'],
      options: { state, config, 'passphrase-file': passphraseFile },
      run: restoreFrom,
    },
    broker: {
      summary: 'who may log in at the broker inside the gateway, and what for; in force at once',
      example: "fieldwhisper-gateway broker user add dashboard --read 'fieldwhisper/#'",
      positionals: ['user', 'add|list|remove', '[NAME]'],
      options: { state, config, json, ...BROKER_OPTIONS },
      run: broker,
    },
    status: {
      summary: 'shows how the running gateway is; exit code 0 when it is healthy',
      example: 'fieldwhisper-gateway status --json',
      options: { state, config, json },
      run: status,
    },
  },
}

interface Place {
  readonly stateDir: string
  readonly config: GatewayConfig
  readonly reporter: ProgramReporter
}

function placeOf({ options }: CliInput): Place {
  const config = loadGatewayConfig(options['config'] as string | undefined)
  const stateDir = resolve(String(options['state'] ?? config.state ?? DEFAULT_STATE))
  return {
    stateDir,
    config,
    reporter: createReporter({ format: config.log.format, level: config.log.level }),
  }
}

async function init(input: CliInput): Promise<number> {
  const stateDir = resolve(String(input.options['state'] ?? DEFAULT_STATE))
  const reporter = createReporter()
  ensureStateDir(stateDir, reporter)
  const identity = createIdentity(stateDir, String(input.options['site']))
  const store = await openGatewayStore(stateDir, reporter, () => undefined)
  await store.commit([Meta.initialWrite()])
  await store.close()
  print(`Site "${identity.siteName}" is made in ${stateDir}.
Its fingerprint is ${siteFingerprintText(identity)}.
Whoever has this folder is the gateway. Keep a backup elsewhere: fieldwhisper-gateway backup FILE

Next: fieldwhisper-gateway run        starts it
      fieldwhisper-gateway enroll NAME prints an invite for a sensor host`)
  return 0
}

async function enroll(input: CliInput): Promise<void> {
  const name = input.positionals[0]!
  const { replace, confirm, plain } = input.options
  const line = await operate(placeOf(input), 'enroll', {
    name,
    replace: replace === true,
    confirm: confirm === true,
  })
  print(plain ? line : inviteText(name, line))
}

async function agents(input: CliInput): Promise<void> {
  const list = await operate(placeOf(input), 'agents', {})
  print(input.options['json'] ? JSON.stringify(list, null, 2) : agentTable(list))
}

async function revoke(input: CliInput): Promise<void> {
  const name = input.positionals[0]!
  await operate(placeOf(input), 'revoke', { name })
  print(`${name} is revoked. Its spool and keys stay on the device; nothing it sends is taken any more.`)
}

async function rename(input: CliInput): Promise<void> {
  const [name, to] = input.positionals as [string, string]
  await operate(placeOf(input), 'rename', { name, to })
  print(`${name} is called ${to} from now on, also in MQTT topics.`)
}

async function confirm(input: CliInput): Promise<void> {
  const name = input.positionals[0]!
  await operate(placeOf(input), 'confirm', { name })
  print(`${name} may send readings.`)
}

async function clone(input: CliInput): Promise<void> {
  const [name, decision] = input.positionals as [string, string]
  if (decision !== 'keep' && decision !== 'replace')
    throw new UsageError(
      `Say what goes on: clone ${name} keep (the device that was there first) or replace (the later one).`,
    )
  await operate(placeOf(input), 'clone', { name, decision })
  print(`The ${decision === 'keep' ? 'first' : 'later'} device goes on as ${name}. The other one is shut out and keeps its readings.
It tries to come back within the hours and is held back again while both run: switch it off, or give it an identity of its
own: fieldwhisper-agent leave on that device, then join it with an invite for another name.`)
}

async function relays(input: CliInput): Promise<void> {
  const { add, token, fingerprint, remove, json } = input.options
  const added = typeof add === 'string' && {
    url: add,
    ...(typeof token === 'string' && { token }),
    ...(typeof fingerprint === 'string' && { fingerprint: fingerprint.replaceAll(':', '').toLowerCase() }),
  }
  const list = await operate(placeOf(input), 'relays', {
    ...(added && { add: added }),
    ...(typeof remove === 'string' && { remove }),
  })
  print(json ? JSON.stringify(list, null, 2) : relayTable(list))
}

async function command(input: CliInput): Promise<number> {
  const [agent, name, text] = input.positionals as [string, string, string | undefined]
  const { ttl, json } = input.options
  const ttlMs = parseDuration(String(ttl))
  if (ttlMs === undefined) throw new UsageError('--ttl is a time such as 10s or 2m.')
  let args: unknown
  try {
    args = text === undefined ? {} : JSON.parse(text)
  } catch {
    throw new UsageError(`The arguments are no JSON object: '{"source":"system"}' in quotes.`)
  }
  const { stateDir } = placeOf(input)
  const line = await sendCommand(stateDir, { agent, command: name, args, ttlMs })
  print(json ? JSON.stringify(line) : commandText(line))
  return line.status === 'done' ? 0 : 1
}

async function showEvents(input: CliInput): Promise<void> {
  const { since, level, count, json } = input.options
  const ago = since === undefined ? undefined : parseDuration(String(since))
  if (since !== undefined && ago === undefined)
    throw new UsageError('--since is a time such as 30m, 12h or 7d.')
  const least = (['info', 'warn', 'error'] as const).find((known) => known === level)
  if (!least) throw new UsageError('--level is info, warn or error.')
  const many = Number(count)
  if (!Number.isInteger(many) || many < 1 || many > MAX_EVENTS)
    throw new UsageError(`--count is a number from 1 to ${MAX_EVENTS}.`)
  const found = await events(placeOf(input), {
    level: least,
    count: many,
    ...(ago !== undefined && { sinceMs: Date.now() - ago }),
  })
  print(json ? JSON.stringify(found, null, 2) : eventText(found))
}

async function makeBackup(input: CliInput): Promise<void> {
  const place = placeOf(input)
  const path = resolve(input.positionals[0]!)
  const configFile = input.options['config'] as string | undefined
  const passphraseFile = input.options['passphrase-file'] as string | undefined
  const made = await backup(place, path, {
    ...(passphraseFile !== undefined && { passphraseFile }),
    ...(configFile !== undefined && { configFile }),
  })
  print(backupText(path, made, configFile))
}

async function restoreFrom(input: CliInput): Promise<void> {
  const place = placeOf(input)
  const file = input.options['passphrase-file'] as string | undefined
  print(restoreText(place.stateDir, await restore(place, resolve(input.positionals[0]!), file)))
}

async function run(input: CliInput): Promise<number> {
  const { signal } = input
  const { stateDir, config, reporter } = placeOf(input)
  ensureStateDir(stateDir, reporter)
  const failed = new AbortController()
  let gateway: Gateway | undefined
  const control = await serveControl(
    stateDir,
    controlHandlers(() => gateway, { stateDir, config, reporter }),
    reporter,
  )
  try {
    const identity = loadIdentity(stateDir, reporter)
    gateway = new Gateway({ stateDir, config, identity, reporter, onFatal: (error) => failed.abort(error) })
    await gateway.start()
    reporter.event('info', 'FW_GATEWAY_RUNNING', `the gateway of site ${identity?.siteName ?? '(none)'} runs`)
    await aborted(AbortSignal.any([signal, failed.signal]))
    await gateway.stop()
  } finally {
    await control.close()
  }
  if (failed.signal.aborted) throw failed.signal.reason
  return 0
}

async function broker(input: CliInput): Promise<void> {
  const place = placeOf(input)
  const asked = readBrokerCommand(input)
  print(await brokerUsers(place, asked, input.options['json'] === true))
}

async function status(input: CliInput): Promise<number> {
  const { stateDir } = placeOf(input)
  const reply = await askControl(stateDir, 'status')
  const found = reply && 'ok' in reply ? (reply.ok as GatewayStatus) : undefined
  const starts = reply && 'error' in reply && reply.error.code === 'FW_GATEWAY_STARTING'
  const absent = starts ? 'the gateway is starting' : 'the gateway does not run'
  if (input.options['json'])
    print(JSON.stringify(found ?? { running: false, healthy: false, problems: [absent] }, null, 2))
  else if (found) print(statusText(found))
  else
    print(
      starts
        ? 'The gateway is starting.'
        : `No gateway runs on ${stateDir}. Start it: fieldwhisper-gateway run`,
    )
  return found?.healthy ? 0 : 1
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

process.exitCode = await runProgram(program)
