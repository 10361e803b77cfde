import type { AgentHandle, AgentNode } from './agent-node.js'
import { KEEP_STOP_MS } from './constants.js'
import { PaletteError } from './errors.js'
import { readingsOf } from './publication.js'
import { textOf, type Config, type Message, type Node, type Red, type Status } from './red.js'

/** A message becomes a reading of the agent; it goes on, as it is, when the reading is kept on disk. */
export function registerPublish(RED: Red): void {
  function FieldwhisperPublish(this: Node, config: Config): void {
    RED.nodes.createNode(this, config)
    const handle = handleOf(RED, config)
    const running = new Set<Promise<void>>()
    let last: Status | undefined
    let shown = ''
    let open = true
    /** Ends what still waits for the disk. */
    const ends = new Set<(error: Error) => void>()

    const refresh = (): void => {
      const status = last ?? statusOf(RED, handle)
      const text = JSON.stringify(status)
      if (text === shown || !open) return
      shown = text
      this.status(status)
    }
    const leave = handle?.agent.join(refresh)
    refresh()

    const keep = (message: Message): Promise<void> =>
      new Promise((resolve, reject) => {
        if (!handle) throw new PaletteError('FW_NODERED_SETTINGS_INVALID', 'error.no-agent')
        const kept = handle.agent.accept(readingsOf(config, message))
        ends.add(reject)
        void kept.then(resolve, reject).finally(() => ends.delete(reject))
      })

    this.on('input', (message, send, done) => {
      const work = keep(message)
        .then(
          () => {
            last = undefined
            send(message)
            return undefined
          },
          (error: unknown) => {
            const problem = problemOf(error)
            const status = STATUS[problem.code]
            last = status === undefined ? undefined : { fill: 'red', shape: 'ring', text: RED._(status) }
            return explained(RED, handle, problem)
          },
        )
        .then((error) => {
          running.delete(work)
          refresh()
          done(error)
        })
        // Whatever the rest of the flow does with the message, the runtime goes on.
        .catch((error: unknown) => this.warn(String(error)))
      running.add(work)
    })

    this.on('close', (_removed, done) => {
      open = false
      leave?.()
      const error = new PaletteError('FW_NODERED_CLOSED', 'error.closed')
      const timer = setTimeout(() => ends.forEach((end) => end(error)), KEEP_STOP_MS)
      void Promise.allSettled(running).then(() => {
        clearTimeout(timer)
        done()
      })
    })
  }
  RED.nodes.registerType('fieldwhisper-publish', FieldwhisperPublish)
}

function handleOf(RED: Red, config: Config): AgentHandle | undefined {
  const id = textOf(config, 'agent')
  const found = id === '' ? undefined : (RED.nodes.getNode(id) as Partial<AgentNode> | null | undefined)
  return found?.fieldwhisperAgent
}

function statusOf(RED: Red, handle: AgentHandle | undefined): Status {
  if (!handle) return { fill: 'red', shape: 'ring', text: RED._('status.no-agent') }
  const { key, details, ...rest } = handle.agent.badge()
  return { ...rest, text: handle.say(key, details) }
}

const STATUS: Readonly<Partial<Record<PaletteError['code'], string>>> = {
  FW_NODERED_INPUT_INVALID: 'status.invalid',
  FW_NODERED_NOT_KEPT: 'status.not-kept',
}

const REFUSALS: Readonly<Record<string, string>> = {
  FW_SPOOL_FULL: 'error.full',
  FW_SPOOL_BUSY: 'error.busy',
  FW_STORE_FULL: 'error.full',
}

/** What the agent would not take, in the terms of the palette. */
function problemOf(error: unknown): PaletteError {
  if (error instanceof PaletteError) return error
  const { code = '', message: reason = String(error) } = (error ?? {}) as { code?: string; message?: string }
  const cause = { cause: error }
  if (code === 'FW_READING_INVALID') {
    return new PaletteError('FW_NODERED_INPUT_INVALID', 'error.reading', { reason }, cause)
  }
  if (code === 'FW_SPOOL_CLOSED') return new PaletteError('FW_NODERED_CLOSED', 'error.closed', {}, cause)
  return new PaletteError('FW_NODERED_NOT_KEPT', REFUSALS[code] ?? 'error.disk', { reason }, cause)
}

function explained(RED: Red, handle: AgentHandle | undefined, error: PaletteError): Error {
  const { code, key, details, cause } = error
  const options = cause === undefined ? {} : { cause }
  if (code !== 'FW_NODERED_AGENT_NOT_OPEN')
    return Object.assign(new Error(RED._(key, details), options), { code })
  const reason = handle?.say(key, details) ?? ''
  return Object.assign(new Error(RED._('error.not-open', { reason }), options), { code })
}
