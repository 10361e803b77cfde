/**
 * `npm start`: a relay, a gateway and an agent on this machine, and what they do, live. Everything stays on loopback and in
 * ./.fieldwhisper, which the next start continues.
 */
import { resolve } from 'node:path'
import { asError } from '@fieldwhisper/host'
import { endingSignal, untilAborted } from './programs/ending.js'
import { siteCommand } from './programs/site-command.js'
import { showLines, tellLine } from './start/plain.js'
import { showPicture } from './start/picture.js'
import { displayPath } from './start/paths.js'
import { Site, StartError } from './start/site.js'
import { canRedraw } from './start/style.js'

const HELP = `npm start: a relay, a gateway and an agent on this machine, shown live. Ctrl-C ends all of it.

Usage: npm start -- [--state DIR]

Options:
  --state DIR  folder of the site, made at the first start and kept (default: .fieldwhisper)
  --help       this text

Colours are left out with NO_COLOR=1. Without a terminal plain lines are written.
`

async function main(state: string): Promise<number> {
  const inPlace = canRedraw(process.stdout)
  const site = new Site(resolve(state), inPlace ? () => undefined : tellLine)
  const stopping = endingSignal(() => site.kill())
  let failure: Error | undefined
  const started = site.start().catch((error: unknown) => {
    failure = asError(error)
    stopping.abort()
  })
  const shown = inPlace ? showPicture(site, stopping.signal) : showLines(site, stopping.signal)
  await untilAborted(stopping.signal)
  await shown
  if (!failure) process.stdout.write('Ending agent, gateway and relay ...\n')
  await site.stop()
  await started
  if (failure) {
    process.stderr.write(failure instanceof StartError ? `${failure.message}\n` : `${failure.stack}\n`)
    return 1
  }
  process.stdout.write(
    `All have ended. ${displayPath(site.folders.root)} keeps the site; npm start continues it.\n`,
  )
  return 0
}

await siteCommand(HELP, main)
