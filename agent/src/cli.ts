#!/usr/bin/env node
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  askControl,
  createReporter,
  ensureStateDir,
  parseDuration,
  runProgram,
  serveControl,
  type CliInput,
  type CliOption,
  type CliProgram,
  type ProgramReporter,
} from '@fieldwhisper/host'
import { decodeInvite } from '@fieldwhisper/protocol'
import type { Agent } from './app.js'
import { loadAgentConfig } from './config/load.js'
import type { AgentConfig } from './config/schema.js'
import { REFUSED_TEXT } from './core/index.js'
import { AgentError } from './errors.js'
import { joinProgress, prepareJoin } from './join.js'
import { SPOOL_ACTIONS, spoolCommand } from './look/command.js'
import { statusText } from './screens.js'
import { StateFolder } from './state/folder.js'
import type { AgentStatus } from './status.js'
import { VERSION } from './version.js'

const DEFAULT_STATE = '.fieldwhisper/agent'
const PROGRESS_MS = 10_000
const LOOK_MS = 50
/** After the answer, so long for the gateway to hear that K is kept. */
const CONFIRM_MS = 1_500

const state: CliOption = {
  type: 'string',
  value: 'DIR',
  summary: `folder for identity and spool (default: that of the configuration, else ${DEFAULT_STATE})`,
}
const config: CliOption = {
  type: 'string',
  value: 'FILE',
  summary: 'configuration in YAML; everything has a default',
}

const program: CliProgram = {
  name: 'fieldwhisper-agent',
  summary: 'reads the sensors of this machine and sends what they say, sealed, to its gateway',
  version: VERSION,
  commands: {
    join: {
      summary: 'makes this machine a device of a site, with an invite from its gateway',
      example: 'fieldwhisper-agent join fw1-AQID... --state /var/lib/fieldwhisper-agent',
      positionals: ['INVITE'],
      options: {
        state,
        config,
        timeout: {
          type: 'string',
          value: 'TIME',
          summary: 'wait this long for the gateway; the join is kept in any case',
          default: '5m',
        },
        detach: {
          type: 'boolean',
          summary: 'keep the invite and end: `run` goes on with it, whenever the gateway is there',
        },
      },
      run: join,
    },
    run: {
      summary: 'runs the agent until it is stopped',
      example: 'fieldwhisper-agent run --config agent.yaml',
      options: { state, config },
      run,
    },
    status: {
      summary: 'shows how the running agent is; exit code 0 when it is healthy',
      example: 'fieldwhisper-agent status --json',
      options: { state, config, json: { type: 'boolean', summary: 'one JSON object' } },
      run: status,
    },
    spool: {
      summary:
        'looks at the readings that wait on this machine, whether the agent runs or not; changes nothing',
      example: 'fieldwhisper-agent spool stats',
      positionals: ['ACTION', '[FILE]'],
      actions: SPOOL_ACTIONS,
      options: {
        state,
        config,
        json: { type: 'boolean', summary: 'JSON instead of a table (stats, peek)' },
        count: { type: 'string', value: 'N', summary: 'so many readings (peek), 1 to 1000', default: '10' },
        format: {
          type: 'string',
          value: 'FORMAT',
          summary: 'senml (SenML JSON, RFC 8428) or csv (export)',
          default: 'senml',
        },
      },
      run: spool,
    },
    leave: {
      summary: 'ends the membership of this device: keys and session are removed, readings stay in the spool',
      example: 'fieldwhisper-agent leave --yes',
      options: {
        state,
        config,
        yes: { type: 'boolean', summary: 'do it; without it, only say what would happen' },
      },
      run: leave,
    },
  },
}

interface Place {
  readonly stateDir: string
  readonly config: AgentConfig
  readonly reporter: ProgramReporter
}

function placeOf({ options }: CliInput): Place {
  const config = loadAgentConfig(options['config'] as string | undefined)
  const stateDir = resolve(String(options['state'] ?? config.state ?? DEFAULT_STATE))
  const { format, level } = config.log
  return { stateDir, config, reporter: createReporter({ format, level }) }
}

async function run({ options, positionals, signal }: CliInput): Promise<number> {
  const place = placeOf({ options, positionals, signal })
  return withAgent(place, true, (_agent, ended) => aborted(AbortSignal.any([signal, ended])).then(() => 0))
}

async function join(input: CliInput): Promise<number> {
  const place = placeOf(input)
  const { stateDir, reporter } = place
  const timeoutMs = parseDuration(String(input.options['timeout']))
  if (timeoutMs === undefined) {
    process.stderr.write('error FW_USAGE: --timeout needs a time such as 30s or 10m.\n')
    return 2
  }
  const invite = decodeInvite(input.positionals[0]!)
  ensureStateDir(stateDir, reporter)
  if (await askControl(stateDir, 'status')) {
    throw new AgentError(
      'FW_AGENT_RUNNING',
      `an agent runs on ${stateDir}: stop it, join, and start it again`,
    )
  }
  prepareJoin(new StateFolder(stateDir, reporter), invite, reporter)
  if (input.options['detach'] === true) {
    print(
      'The invite is kept. `fieldwhisper-agent run` joins with it and sends readings, whenever the gateway is there.',
    )
    return 0
  }
  print('Joining. This needs the gateway; Ctrl-C ends the waiting, the join is kept.')
  return withAgent(place, false, (agent, ended) =>
    waitToJoin(agent, AbortSignal.any([input.signal, ended]), timeoutMs),
  )
}

async function waitToJoin(agent: Agent, signal: AbortSignal, timeoutMs: number): Promise<number> {
  const start = performance.now()
  let toldAt = start
  while (!signal.aborted) {
    const now = performance.now()
    const found = agent.status()
    if (found.refused) {
      print(`The gateway refused this agent: ${REFUSED_TEXT[found.refused]}`)
      return 1
    }
    if (found.joined && found.session.answered) {
      await pause(CONFIRM_MS, signal)
      print(`Joined as ${found.name}. Start it with: fieldwhisper-agent run`)
      return 0
    }
    if (now - start >= timeoutMs) {
      print(joinProgress(found))
      print('No answer yet. The join is kept: `fieldwhisper-agent run` goes on with it.')
      return 1
    }
    if (now - toldAt >= PROGRESS_MS) {
      toldAt = now
      print(joinProgress(found))
    }
    await pause(LOOK_MS, signal)
  }
  print('The join is kept: `fieldwhisper-agent run` goes on with it.')
  return 1
}

async function status(input: CliInput): Promise<number> {
  const { stateDir } = placeOf(input)
  const reply = await askControl(stateDir, 'status')
  const found = reply && 'ok' in reply ? (reply.ok as AgentStatus) : undefined
  const starts = reply && 'error' in reply && reply.error.code === 'FW_AGENT_STARTING'
  const absent = starts ? 'the agent is starting' : 'the agent does not run'
  if (input.options['json'] === true)
    print(JSON.stringify(found ?? { ok: false, running: false, problems: [absent] }))
  else if (!found) print(starts ? 'The agent is starting.' : `No agent runs on ${stateDir}.`)
  else process.stdout.write(statusText(found))
  return found?.ok === true ? 0 : 1
}

function spool(input: CliInput): Promise<number> {
  const { stateDir, config, reporter } = placeOf(input)
  return spoolCommand(input, { stateDir, name: config.name, reporter })
}

async function leave(input: CliInput): Promise<number> {
  const { stateDir, reporter } = placeOf(input)
  if (!existsSync(stateDir)) {
    print(`There is no agent in ${stateDir}.`)
    return 1
  }
  print(`This removes identity, keys and session of the agent in ${stateDir}. It can then join a site as a new device.
Readings that its gateway has not confirmed stay in the spool and go to the next site it joins.
At the gateway, \`revoke NAME\` frees its name.`)
  if (input.options['yes'] !== true) {
    print('Nothing was removed: repeat with --yes.')
    return 1
  }
  const control = await serveControl(stateDir, {}, reporter)
  try {
    new StateFolder(stateDir, reporter).forget()
  } finally {
    await control.close()
  }
  print('Done.')
  return 0
}

/** Runs an agent on its state folder, alone, and ends it in order. */
async function withAgent(
  { stateDir, config, reporter }: Place,
  sources: boolean,
  use: (agent: Agent, ended: AbortSignal) => Promise<number>,
): Promise<number> {
  ensureStateDir(stateDir, reporter)
  const failed = new AbortController()
  // Loaded here: help and status need nothing of it.
  const { Agent } = await import('./app.js')
  const agent = new Agent({ stateDir, config, reporter, sources, onFatal: () => failed.abort() })
  const control = await serveControl(stateDir, agent.controls(), reporter)
  try {
    await agent.start()
    const code = await use(agent, failed.signal)
    // Nothing more can be written: whoever supervises this process starts it again on what the disk has.
    if (failed.signal.aborted) process.exit(1)
    await agent.stop()
    return code
  } finally {
    await control.close()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // Taken off again each time: a join that waits for an hour would collect a listener for every look.
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done, { once: true })
  })
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

process.exitCode = await runProgram(program)
