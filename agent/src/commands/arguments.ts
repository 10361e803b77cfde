import type { Fields, FieldValue } from '@fieldwhisper/protocol'
import { refused } from './outcome.js'
import type { CommandReply } from '../core/index.js'

/** What a command takes: each argument by its name. */
export type Wanted = Readonly<Record<string, 'text' | 'optional text' | 'value'>>

export type Arguments = ReadonlyMap<string, FieldValue>

/** The arguments by name, or why they are not those that are wanted. */
export function readArguments(args: Fields, wanted: Wanted): Arguments | CommandReply {
  const found = new Map(args)
  const known = Object.keys(wanted)
  const takes = known.length === 0 ? 'it takes none' : `it takes ${known.join(', ')}`
  for (const name of found.keys()) {
    if (!Object.hasOwn(wanted, name))
      return refused('FW_COMMAND_ARGUMENTS', `there is an argument too many: ${takes}`)
  }
  for (const [name, kind] of Object.entries(wanted)) {
    const value = found.get(name)
    if (value === undefined && kind === 'optional text') continue
    if (value === undefined)
      return refused('FW_COMMAND_ARGUMENTS', `the argument ${name} is missing: ${takes}`)
    if (value === null || (kind !== 'value' && typeof value !== 'string'))
      return refused(
        'FW_COMMAND_ARGUMENTS',
        `the argument ${name} has to be ${kind === 'value' ? 'text, a number or true or false' : 'text'}`,
      )
  }
  return found
}
