// A program whose commands wait for a signal: `run` ends in order, `hang` does not.
import { runProgram } from '@fieldwhisper/host'

const keepAlive = setInterval(() => undefined, 1_000)
const waiting = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      process.stdout.write(`ended by ${String(signal.reason)}\n`)
      resolve()
    })
    process.stdout.write('ready\n')
  })

process.exitCode = await runProgram({
  name: 'wait',
  summary: 'waits',
  version: '0',
  commands: {
    run: { summary: 'ends', example: 'wait run', run: ({ signal }) => waiting(signal) },
    hang: {
      summary: 'does not end',
      example: 'wait hang',
      run: ({ signal }) => waiting(signal).then(() => new Promise<void>(() => undefined)),
    },
  },
})
clearInterval(keepAlive)
