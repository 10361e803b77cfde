import { askControl } from '@fieldwhisper/host'
import type { Fields, FieldValue, ReplyStatus } from '@fieldwhisper/protocol'
import { z } from 'zod'
import { invalid, type CommandAnswer } from './core/commands.js'
import { COMMAND_WORK_MS } from './core/constants.js'
import type { GatewayCore } from './core/gateway-core.js'
import { GatewayError } from './errors.js'

/** How long a command lives where nobody says. */
export const DEFAULT_TTL_MS = 30_000
/** An answer is waited for so much longer than the gateway does. */
const CONTROL_SLACK_MS = 10_000

/** What became of a command, as it is printed and published. */
export interface CommandLine {
  readonly agent: string
  readonly command: string
  readonly status: ReplyStatus
  /** See docs/errors.md. */
  readonly code: string
  readonly message: string
  readonly result: Readonly<Record<string, FieldValue>>
}

const request = z.object({
  agent: z.string(),
  command: z.string(),
  args: z.unknown(),
  ttlMs: z.number(),
})

export type CommandOrder = z.output<typeof request>

/** Named values from JSON. Throws GatewayError FW_COMMAND_INVALID. */
export function fieldsOf(args: unknown): Fields {
  if (args === undefined || args === null) return []
  if (typeof args !== 'object' || Array.isArray(args))
    throw invalid('arguments are a JSON object, such as {"source":"system"}')
  // What a value may be is checked where it is sent.
  return Object.entries(args as Record<string, FieldValue>)
}

/** Gives the command to a core, and resolves when it is answered. */
export async function command(core: GatewayCore, order: unknown): Promise<CommandLine> {
  const parsed = request.safeParse(order)
  if (!parsed.success) throw invalid('a command needs agent, command and ttlMs')
  const { agent, command: name, args, ttlMs } = parsed.data
  return lineOf(agent, name, await core.command(agent, { command: name, args: fieldsOf(args), ttlMs }))
}

/** The same by the control socket of the gateway that runs on this folder. */
export async function sendCommand(stateDir: string, order: CommandOrder): Promise<CommandLine> {
  const timeoutMs = order.ttlMs + COMMAND_WORK_MS + CONTROL_SLACK_MS
  const reply = await askControl(stateDir, 'command', order, { timeoutMs })
  if (!reply) {
    const text = `no gateway runs on ${stateDir}, and only a running one can give commands: fieldwhisper-gateway run`
    throw new GatewayError('FW_GATEWAY_NOT_RUNNING', text)
  }
  if ('error' in reply) throw new GatewayError(reply.error.code, reply.error.message)
  return reply.ok as CommandLine
}

function lineOf(agent: string, name: string, { status, code, text, result }: CommandAnswer): CommandLine {
  return { agent, command: name, status, code, message: text, result: Object.fromEntries(result) }
}
