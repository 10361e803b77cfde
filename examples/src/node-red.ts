/**
 * `npm run demo:node-red`: the site of `npm start` and a Node-RED whose flow shows the readings of this machine, in the editor's
 * debug panel and on a page. Everything stays on loopback and in ./.fieldwhisper.
 */
import { join, resolve } from 'node:path'
import { asError } from '@fieldwhisper/host'
import { NodeRed } from './node-red/node-red.js'
import { eventually } from './programs/ask.js'
import { endingSignal, untilAborted } from './programs/ending.js'
import { siteCommand } from './programs/site-command.js'
import type { MqttAccess } from './start/model.js'
import { displayPath } from './start/paths.js'
import { tellLine } from './start/plain.js'
import { Site, StartError } from './start/site.js'

const HELP = `npm run demo:node-red: a relay, a gateway and an agent on this machine, and Node-RED with a flow that shows the
machine's own readings. Ctrl-C ends all of it.

Usage: npm run demo:node-red -- [--state DIR]

Options:
  --state DIR  folder of the site and of Node-RED, made at the first start and kept (default: .fieldwhisper, as npm start)
  --help       this text

The editor wants no login: it listens on 127.0.0.1, and lets no page of another origin read or deploy flows.
`
/** The gateway says where its broker is well within this. */
const BROKER_MS = 30_000

async function main(state: string): Promise<number> {
  const root = resolve(state)
  const site = new Site(root, tellLine)
  const nodeRed = new NodeRed(join(root, 'node-red'), join(site.folders.logs, 'node-red.log'), tellLine)
  // Whoever read this went away, as in `npm run demo:node-red | head`.
  process.stdout.on('error', () => undefined)
  const stopping = endingSignal(() => Promise.all([nodeRed.kill(), site.kill()]))
  let failure: Error | undefined
  const started = start(site, nodeRed, stopping.signal).catch((error: unknown) => {
    failure = asError(error)
    stopping.abort()
  })
  await untilAborted(stopping.signal)
  if (!failure) process.stdout.write('Ending Node-RED, agent, gateway and relay ...\n')
  await nodeRed.stop()
  await site.stop()
  await started
  if (failure) {
    process.stderr.write(failure instanceof StartError ? `${failure.message}\n` : `${failure.stack}\n`)
    return 1
  }
  process.stdout.write(`All have ended. ${displayPath(root)} keeps the site and the flows.\n`)
  return 0
}

async function start(site: Site, nodeRed: NodeRed, signal: AbortSignal): Promise<void> {
  await site.start()
  const connected = async (): Promise<MqttAccess | undefined> => {
    const { mqtt } = await site.view()
    return mqtt?.connected ? mqtt : undefined
  }
  const access = await eventually(connected, { withinMs: BROKER_MS, signal })
  if (signal.aborted) return
  if (!access) {
    const log = displayPath(join(site.folders.logs, 'gateway.log'))
    throw new StartError(`The gateway's MQTT broker is not there. Its log is ${log}.`)
  }
  const editor = await nodeRed.start(access, signal)
  if (editor === undefined) return
  process.stdout.write(`
  Readings of this machine   ${editor}readings
  Node-RED editor            ${editor}
                             (the debug panel is behind the beetle, at the right)

No login is asked for: only this machine reaches them. Ctrl-C ends everything.

`)
}

await siteCommand(HELP, main)
