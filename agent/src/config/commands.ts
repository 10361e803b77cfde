import { z } from 'zod'
import { about, plainText } from '@fieldwhisper/host'
import { MAX_OUTPUTS } from '../commands/constants.js'
import { COMMAND_NAMES } from '../commands/names.js'

const MAX_PROGRAM_ARGUMENTS = 32

const absolute = plainText(1, 4_096).refine((path) => path.startsWith('/'), {
  error: 'expected a path that begins with /',
})

const outputName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, { error: 'expected 1 to 32 letters, digits, - or _' })

const output = z.discriminatedUnion('type', [
  z.strictObject({
    type: about(z.literal('file'), 'The value is written to a file as text, such as one under /sys.'),
    path: about(absolute, 'The file. It is made if it is not there.'),
  }),
  z.strictObject({
    type: about(
      z.literal('exec'),
      'A program is run with the value on its standard input, without a shell; exit code 0 within 10 s is success.',
    ),
    program: about(absolute, 'The program.'),
    args: about(
      z.array(z.string().max(1_024)).max(MAX_PROGRAM_ARGUMENTS).default([]),
      'Its arguments, always the same.',
    ),
  }),
])

export const commandsSchema = z
  .strictObject({
    allow: about(
      z.array(z.enum(COMMAND_NAMES)).max(COMMAND_NAMES.length).default(['ping']),
      'The commands of the gateway that this agent carries out; any other is refused. An empty list: none.',
    ),
    outputs: about(
      z
        .record(outputName, output)
        .refine((outputs) => Object.keys(outputs).length <= MAX_OUTPUTS, {
          error: `at most ${MAX_OUTPUTS} outputs`,
        })
        .default({}),
      'What the command write may write to, by name. Absent: nothing.',
    ),
  })
  .prefault({})

export type CommandsConfig = z.output<typeof commandsSchema>
