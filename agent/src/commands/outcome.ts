import type { Fields } from '@fieldwhisper/protocol'
import type { CommandReply } from '../core/index.js'

export function done(text: string, result: Fields = []): CommandReply {
  return { status: 'done', code: 'FW_COMMAND_DONE', text, result }
}

/** Not carried out, and would not be the next time. */
export function refused(
  code: 'FW_COMMAND_NOT_KNOWN' | 'FW_COMMAND_NOT_ALLOWED' | 'FW_COMMAND_ARGUMENTS',
  text: string,
): CommandReply {
  return { status: 'refused', code, text, result: [] }
}

export function failed(
  code: 'FW_COMMAND_FAILED' | 'FW_COMMAND_TIMEOUT' | 'FW_COMMAND_BUSY',
  text: string,
): CommandReply {
  return { status: 'failed', code, text, result: [] }
}
