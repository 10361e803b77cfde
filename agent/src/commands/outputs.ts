import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { systemCode } from '@fieldwhisper/host'
import type { CommandReply } from '../core/index.js'
import type { Timers } from '../sources/timers.js'
import { OUTPUT_LIMIT_MS } from './constants.js'
import { done, failed } from './outcome.js'

/** A place that the operator named for values to be written to. */
export type Output =
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'exec'; readonly program: string; readonly args: readonly string[] }

interface Place {
  readonly timers: Timers
  /** The agent ends. */
  readonly signal: AbortSignal
}

/** Writes a value as text. Never rejects; nothing of the value is in what it says. */
export function writeOutput(output: Output, text: string, place: Place): Promise<CommandReply> {
  return output.type === 'file' ? writeFile(output.path, text, place) : runProgram(output, text, place)
}

async function writeFile(path: string, text: string, { timers }: Place): Promise<CommandReply> {
  let cancel: () => void = () => undefined
  const late = new Promise<CommandReply>((resolve) => {
    cancel = timers.after(OUTPUT_LIMIT_MS, () => resolve(tooLong('the file')))
  })
  try {
    return await Promise.race([write(path, text), late])
  } finally {
    cancel()
  }
}

/** Files of /sys take neither a temporary name nor a rename. A pipe that nobody reads fails at once instead of hanging. */
async function write(path: string, text: string): Promise<CommandReply> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK } = constants
  try {
    const file = await open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0o644)
    try {
      await file.writeFile(text)
    } finally {
      await file.close()
    }
    return done('the value was written')
  } catch (error) {
    return failed('FW_COMMAND_FAILED', `the file of this output does not take the value (${reason(error)})`)
  }
}

/** No shell, nothing of the value in the arguments or the environment; whatever it starts ends with it. */
function runProgram(
  { program, args }: Extract<Output, { type: 'exec' }>,
  text: string,
  { timers, signal }: Place,
): Promise<CommandReply> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'ignore', 'ignore'],
      shell: false,
      detached: true,
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin' },
    })
    const end = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch (error) {
        if (systemCode(error) !== 'ESRCH') throw error
      }
    }
    const settle = (reply: CommandReply): void => {
      cancel()
      signal.removeEventListener('abort', stopped)
      resolve(reply)
    }
    const cancel = timers.after(OUTPUT_LIMIT_MS, () => {
      end()
      settle(tooLong('the program'))
    })
    const stopped = (): void => {
      end()
      settle(failed('FW_COMMAND_FAILED', 'the agent ended before the program did'))
    }
    signal.addEventListener('abort', stopped, { once: true })
    child.on('error', (error) => {
      settle(failed('FW_COMMAND_FAILED', `the program of this output does not start (${reason(error)})`))
    })
    child.on('exit', (code, by) => {
      const how = code === null ? `was ended by ${String(by)}` : `ended with ${code}`
      settle(
        code === 0
          ? done('the program has taken the value')
          : failed('FW_COMMAND_FAILED', `the program of this output ${how}`),
      )
    })
    // A program that does not read its input and is content without it.
    child.stdin.on('error', () => undefined)
    child.stdin.end(text)
  })
}

function tooLong(what: string): CommandReply {
  return failed(
    'FW_COMMAND_TIMEOUT',
    `${what} of this output did not take the value within ${OUTPUT_LIMIT_MS / 1_000} s and was given up`,
  )
}

function reason(error: unknown): string {
  const code = systemCode(error)
  return typeof code === 'string' ? code : 'unknown'
}
