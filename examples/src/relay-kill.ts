/**
 * `npm run demo:relay-kill`: five agents send while the relay is killed, the LAN cut and the gateway killed, one after
 * another. Ends with a table of what arrived, and with 1 if anything was lost. No root, nothing but Node, all on loopback.
 */
import { parseArgs } from 'node:util'
import { asError } from '@fieldwhisper/host'
import { endingSignal } from './programs/ending.js'
import { eventually, pause } from './programs/ask.js'
import {
  AGENTS,
  BATCH_INTERVAL,
  FIRST_MS,
  READINGS_PER_SECOND,
  RECOVER_MS,
  SETTLE_MS,
} from './relay-kill/constants.js'
import { DemoError, Fleet } from './relay-kill/fleet.js'
import { schedule, type Act, type Phase } from './relay-kill/schedule.js'
import { subscribe, unixMs } from './relay-kill/subscriber.js'
import { resultTable, seconds } from './relay-kill/table.js'
import { Tally } from './relay-kill/tally.js'

const HELP = `npm run demo:relay-kill: what happens when relay, LAN and gateway fail, one after another. About a minute.

Usage: npm run demo:relay-kill -- [--short]

Options:
  --short  the same in less than half the time
  --help   this text

Exit code 1 when a reading was lost.
`

const say = (text: string): void => console.log(text)

async function main(short: boolean): Promise<number> {
  let failure: Error | undefined
  let keep = true
  const fail = (error: Error): void => {
    failure ??= error
    stopping.abort()
  }
  const stopping = endingSignal(() => fleet.stop(false))
  const fleet = new Fleet(stopping.signal, fail)
  let code = 130
  try {
    code = await demonstrate(fleet, short, stopping.signal)
    keep = code !== 0
  } catch (error) {
    if (!stopping.signal.aborted) failure ??= asError(error)
    keep = failure !== undefined
  }
  await fleet.stop(keep)
  if (failure) {
    process.stderr.write(failure instanceof DemoError ? `${failure.message}\n` : `${failure.stack}\n`)
    return 1
  }
  if (code === 130) say('Ended before it was over.')
  return code
}

async function demonstrate(fleet: Fleet, short: boolean, signal: AbortSignal): Promise<number> {
  const tally = new Tally(AGENTS)
  say(
    `Five agents with ${READINGS_PER_SECOND} readings/s each, sealed every ${BATCH_INTERVAL}; a relay; a gateway; an MQTT broker and a subscriber.`,
  )
  say(
    'Each is a process of its own on this machine. Every packet goes over the LAN and through the relay at once.',
  )
  await fleet.start()
  const client = await subscribe(fleet.brokerPort, fleet.brokerPassword, (arrival) => tally.arrived(arrival))
  try {
    say('The agents join the site.')
    await fleet.join()
    fleet.startAgents()
    const flowing = async (): Promise<boolean> => AGENTS.every((name) => tally.received(name) > 0)
    if (!(await within(flowing, FIRST_MS, signal)))
      throw new DemoError(`No readings arrive. The logs are in ${fleet.folder}.`)
    await within(() => fleet.connected(), FIRST_MS, signal)
    say('')
    await play(fleet, tally, schedule(short), signal)
    return await conclude(fleet, tally, signal)
  } finally {
    await client.endAsync(true)
  }
}

async function play(
  fleet: Fleet,
  tally: Tally,
  phases: readonly Phase[],
  signal: AbortSignal,
): Promise<void> {
  const startMs = unixMs()
  for (const { act, title, seconds: length } of phases) {
    const beginMs = unixMs()
    tally.begin(title, beginMs)
    const text = await perform(fleet, act)
    const at = ((beginMs - startMs) / 1_000).toFixed(0)
    say(`${at.padStart(3)} s  ${text}`)
    if (act.endsWith('-back')) await recover(fleet, tally, beginMs, signal)
    await pause(length * 1_000 - (unixMs() - beginMs), signal)
    signal.throwIfAborted()
    const silence = seconds(tally.silenceMs(beginMs, unixMs()))
    say(`       ${tally.received()} readings have arrived; longest silence of an agent ${silence}`)
  }
}

async function perform(fleet: Fleet, act: Act): Promise<string> {
  switch (act) {
    case 'well':
      return 'All is well: readings flow on both paths.'
    case 'relay-killed':
      return `The relay dies: SIGKILL to process ${await fleet.kill('relay')}. The LAN is left.`
    case 'relay-back':
      return `The relay is started again, process ${await fleet.startRelay()}.`
    case 'lan-cut':
      await fleet.gate.cut()
      return 'The LAN between agents and gateway is cut. The relay is left.'
    case 'lan-back':
      await fleet.gate.mend()
      return 'The LAN is mended.'
    case 'gateway-killed':
      return `The gateway dies: SIGKILL to process ${await fleet.kill('gateway')}. Nobody publishes; readings wait at the agents and in the relay.`
    case 'gateway-back':
      return `The gateway is started again, process ${await fleet.startGateway()}, and gets what waited.`
  }
}

/** The next thing fails when this one has healed: two at once are another demonstration. */
async function recover(fleet: Fleet, tally: Tally, sinceMs: number, signal: AbortSignal): Promise<void> {
  const healed = async (): Promise<boolean> =>
    AGENTS.every((name) => tally.lastMs(name) > sinceMs) && (await fleet.connected())
  const done = await within(healed, RECOVER_MS, signal)
  const after = seconds(unixMs() - sinceMs)
  say(
    `       ${done ? `All are connected on both paths again after ${after}.` : `Not all are connected after ${after}.`}`,
  )
}

/** Asks the agents how many readings they have made by now, waits for these, and prints the table. */
async function conclude(fleet: Fleet, tally: Tally, signal: AbortSignal): Promise<number> {
  const endMs = unixMs()
  const sent = new Map<string, number>()
  for (const name of AGENTS) {
    const report = await fleet.agent(name)
    if (!report) throw new DemoError(`The agent ${name} does not answer. The logs are in ${fleet.folder}.`)
    sent.set(name, report.spool.accepted)
  }
  await within(async () => tally.missing(sent) === 0, SETTLE_MS, signal)
  const rows = tally.rows(sent, endMs)
  say('')
  for (const line of resultTable(rows)) say(line)
  say('')
  const lost = rows.at(-1)?.lost ?? 0
  if (tally.renamed > 0) say(`${tally.renamed} repeats came under another id, which must not happen.`)
  if (lost > 0) say(`${lost} readings were lost.`)
  if (lost > 0 || tally.renamed > 0) {
    say(`The logs are in ${fleet.folder}.`)
    return 1
  }
  say('Nothing was lost. What was made while the gateway was dead came when it was back.')
  if (rows.at(-1)?.repeated)
    say(
      'Repeats carry the id of the first copy: the gateway died before it had noted that they were published.',
    )
  return 0
}

/** Did it hold in time? Throws when the demonstration is ended meanwhile. */
async function within(check: () => Promise<boolean>, ms: number, signal: AbortSignal): Promise<boolean> {
  const held = await eventually(async () => ((await check()) ? true : undefined), { withinMs: ms, signal })
  signal.throwIfAborted()
  return held === true
}

try {
  const { values } = parseArgs({
    options: { short: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
  })
  if (values.help) process.stdout.write(HELP)
  else process.exitCode = await main(values.short)
} catch (error) {
  process.stderr.write(`${asError(error).message}\n\n${HELP}`)
  process.exitCode = 2
}
