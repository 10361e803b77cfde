import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import {
  CONTROL_REPLY_MS,
  CONTROL_REQUEST_MS,
  MAX_CONTROL_CONNECTIONS,
  MAX_CONTROL_REPLY_BYTES,
  MAX_CONTROL_REQUEST_BYTES,
} from './constants.js'
import { controlSocketPath } from './control-address.js'
import { claimSocket } from './control-claim.js'
import { HostError, errorText, systemCode } from './errors.js'
import type { Reporter } from './events.js'
import { nearest, printable } from './text.js'

/** Answers one command; what it returns must be JSON. A thrown error with a `code` reaches the client with its message. */
export type ControlHandler = (args: unknown, signal: AbortSignal) => unknown

export type ControlReply =
  { readonly ok: unknown } | { readonly error: { readonly code: string; readonly message: string } }

export interface ControlServer {
  close(): Promise<void>
}

/**
 * Answers commands for the program that runs on this state folder, and keeps a second one from running on it.
 * One JSON line `{"command","args"}` in, one JSON line `{"ok"}` or `{"error":{"code","message"}}` out, mode 0600.
 * Throws HostError `FW_STATE_IN_USE`, `FW_STATE_DIR`, `FW_CONTROL_FAILED`. Call it before anything in the folder is opened.
 */
export async function serveControl(
  stateDir: string,
  handlers: Readonly<Record<string, ControlHandler>>,
  reporter: Reporter,
): Promise<ControlServer> {
  const sockets = new Set<Socket>()
  const ending = new AbortController()
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    void answer(socket, handlers, reporter, ending.signal)
  })
  server.maxConnections = MAX_CONTROL_CONNECTIONS
  const claim = await claimSocket(server, controlSocketPath(stateDir))
  server.on('error', (error) => {
    reporter.event('warn', 'FW_CONTROL_FAILED', 'The control socket had an error.', {
      reason: errorText(error),
    })
  })
  return {
    close() {
      ending.abort()
      claim.release()
      return new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
    },
  }
}

/**
 * Asks the program that runs on a state folder. Undefined when none runs. Throws HostError `FW_CONTROL_NO_ANSWER` when
 * it runs and does not answer in time or not as it should, `FW_STATE_DIR` when its socket cannot be trusted.
 */
export async function askControl(
  stateDir: string,
  command: string,
  args: unknown = {},
  options: { readonly timeoutMs?: number } = {},
): Promise<ControlReply | undefined> {
  const socket = connect(controlSocketPath(stateDir))
  const timeoutMs = options.timeoutMs ?? CONTROL_REPLY_MS
  try {
    socket.on('connect', () => socket.write(`${JSON.stringify({ command, args })}\n`))
    const line = await readLine(socket, MAX_CONTROL_REPLY_BYTES, timeoutMs)
    const reply: unknown = JSON.parse(line)
    if (isReply(reply)) return reply
    throw new Error('it is not a reply')
  } catch (error) {
    if (['ENOENT', 'ECONNREFUSED', 'ENOTSOCK'].includes(String(systemCode(error)))) return undefined
    const text = `The running program did not answer "${command}": ${errorText(error)}`
    throw new HostError('FW_CONTROL_NO_ANSWER', text, { cause: error })
  } finally {
    socket.destroy()
  }
}

async function answer(
  socket: Socket,
  handlers: Readonly<Record<string, ControlHandler>>,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<void> {
  let reply: ControlReply
  try {
    const { command, args } = parseRequest(
      await readLine(socket, MAX_CONTROL_REQUEST_BYTES, CONTROL_REQUEST_MS),
    )
    const handler = Object.hasOwn(handlers, command) ? handlers[command] : undefined
    if (!handler) throw unknownCommand(command, Object.keys(handlers))
    reply = { ok: (await handler(args, signal)) ?? null }
  } catch (error) {
    reply = { error: explained(error, reporter) }
  }
  // The client's silence ends a reply that nobody reads.
  socket.setTimeout(CONTROL_REQUEST_MS, () => socket.destroy())
  socket.end(encodeReply(reply))
}

function encodeReply(reply: ControlReply): string {
  const line = `${JSON.stringify(reply)}\n`
  if (Buffer.byteLength(line) <= MAX_CONTROL_REPLY_BYTES) return line
  const message = `The answer is longer than ${MAX_CONTROL_REPLY_BYTES} bytes.`
  return `${JSON.stringify({ error: { code: 'FW_CONTROL_REPLY_TOO_LARGE', message } })}\n`
}

function parseRequest(line: string): { command: string; args: unknown } {
  let request: unknown
  try {
    request = JSON.parse(line)
  } catch {
    throw new HostError('FW_CONTROL_MALFORMED', 'The request is not a line of JSON.')
  }
  if (typeof request === 'object' && request !== null && 'command' in request) {
    const { command } = request
    if (typeof command === 'string') return { command, args: 'args' in request ? request.args : {} }
  }
  throw new HostError('FW_CONTROL_MALFORMED', 'The request names no command.')
}

function unknownCommand(command: string, known: readonly string[]): HostError {
  const near = nearest(command, known)
  const hint = near === undefined ? '' : ` Did you mean "${near}"?`
  const text = `The running program knows no command "${printable(command, 64)}".${hint}`
  return new HostError('FW_CONTROL_UNKNOWN_COMMAND', text)
}

function explained(error: unknown, reporter: Reporter): { code: string; message: string } {
  const code = systemCode(error)
  if (typeof code === 'string' && code.startsWith('FW_')) return { code, message: errorText(error) }
  reporter.event('error', 'FW_INTERNAL', 'A command failed for a reason that is not its own.', {
    reason: errorText(error),
  })
  return { code: 'FW_INTERNAL', message: 'The command failed; the log of the running program says why.' }
}

/** One line of at most `limit` bytes within `timeoutMs`. Rejects with the socket's error, or HostError `FW_CONTROL_MALFORMED`. */
function readLine(socket: Socket, limit: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let length = 0
    const refuse = (text: string): void => reject(new HostError('FW_CONTROL_MALFORMED', text))
    const timer = setTimeout(() => refuse(`No line came within ${timeoutMs} ms.`), timeoutMs)
    socket.on('error', reject)
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        clearTimeout(timer)
        refuse('The connection closed before a line was whole.')
      })
    }
    socket.on('data', (chunk: Buffer) => {
      const end = chunk.indexOf(0x0a)
      chunks.push(end < 0 ? chunk : chunk.subarray(0, end))
      length += chunks.at(-1)?.length ?? 0
      if (length > limit) {
        refuse(`A line may have at most ${limit} bytes.`)
        chunks.length = 0
      } else if (end < 0) return
      else resolve(Buffer.concat(chunks).toString('utf8'))
      clearTimeout(timer)
      socket.removeAllListeners('data').resume()
    })
  })
}

function isReply(value: unknown): value is ControlReply {
  if (typeof value !== 'object' || value === null) return false
  if ('ok' in value) return true
  if (!('error' in value) || typeof value.error !== 'object' || value.error === null) return false
  const { error } = value
  return (
    'code' in error &&
    typeof error.code === 'string' &&
    'message' in error &&
    typeof error.message === 'string'
  )
}
