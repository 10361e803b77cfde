import { parseArgs } from 'node:util'
import { errorText, systemCode } from './errors.js'
import { commandHelp, programHelp } from './cli-help.js'
import { nearest, printable } from './text.js'

export interface CliOption {
  /** `boolean` is a switch; `string` takes a value and may be given once, `list` several times. */
  readonly type: 'string' | 'boolean' | 'list'
  readonly summary: string
  readonly short?: string
  /** What stands for the value in the help: `DIR`. */
  readonly value?: string
  readonly default?: string
}

export interface CliInput {
  /** By option name; absent where neither given nor defaulted. */
  readonly options: Readonly<Record<string, string | boolean | string[] | undefined>>
  readonly positionals: readonly string[]
  /** Aborted by the first SIGINT or SIGTERM; a second one ends the process at once. */
  readonly signal: AbortSignal
}

export interface CliCommand {
  readonly summary: string
  /** A whole command line that works. */
  readonly example: string
  readonly options?: Readonly<Record<string, CliOption>>
  /** Names of the arguments without a dash: `NAME` must be there, `[NAME]` may be, `NAME...` takes the rest. */
  readonly positionals?: readonly string[]
  /** The words that the first argument may be, each with what it does; another one is used wrongly. */
  readonly actions?: Readonly<Record<string, string>>
  /** Returns the exit code (0 done, 1 not), 0 when it returns nothing. */
  readonly run: (input: CliInput) => Promise<number | void> | number | void
}

export interface CliProgram {
  readonly name: string
  readonly summary: string
  readonly version: string
  readonly commands: Readonly<Record<string, CliCommand>>
}

export interface CliSurroundings {
  readonly args?: readonly string[]
  readonly out?: (text: string) => void
  readonly err?: (text: string) => void
}

/** Used wrongly; the message says how it is used rightly. Exit code 2. */
export class UsageError extends Error {}

/**
 * Runs one command of a program and resolves to its exit code: 0 done, 1 failed or not healthy, 2 used wrongly. Errors
 * are one line, `error FW_X: message`; FIELDWHISPER_DEBUG=1 adds the stack. Use it as
 * `process.exitCode = await runProgram(program)`.
 */
export async function runProgram(program: CliProgram, around: CliSurroundings = {}): Promise<number> {
  const args = [...(around.args ?? process.argv.slice(2))]
  const out = around.out ?? ((text) => void process.stdout.write(text))
  const err = around.err ?? ((text) => void process.stderr.write(text))
  const [name, ...rest] = args
  if (!around.out) process.stdout.on('error', () => undefined) // a reader that went away, as in `status | head -1`
  try {
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      const about = name === 'help' && rest[0] !== undefined ? commandOf(program, rest[0]) : undefined
      out(about ? commandHelp(program, rest[0] ?? '', about) : programHelp(program))
      return name === undefined ? 2 : 0
    }
    if (name === '--version') {
      out(`${program.version}\n`)
      return 0
    }
    const command = commandOf(program, name)
    if (rest.includes('--help') || rest.includes('-h')) {
      out(commandHelp(program, name, command))
      return 0
    }
    const input = readInput(command, rest)
    return await withSignals((signal) => command.run({ ...input, signal }), err)
  } catch (error) {
    if (error instanceof UsageError) {
      const known = name !== undefined && Object.hasOwn(program.commands, name)
      err(`error FW_USAGE: ${error.message}\nSee: ${program.name} ${known ? `${name} ` : ''}--help\n`)
      return 2
    }
    err(errorLine(error))
    return 1
  }
}

/** One readable line for whatever was thrown; a list of problems keeps its lines. */
export function errorLine(error: unknown): string {
  const code = systemCode(error)
  const ours = typeof code === 'string' && code.startsWith('FW_')
  const text = errorText(error)
    .split('\n')
    .map((line) => printable(line, 2_000))
    .join('\n  ')
  const stack =
    process.env['FIELDWHISPER_DEBUG'] === '1' && error instanceof Error ? `${error.stack ?? ''}\n` : ''
  return `error ${ours ? code : 'FW_INTERNAL'}: ${text}\n${stack}`
}

function commandOf(program: CliProgram, name: string): CliCommand {
  const command = Object.hasOwn(program.commands, name) ? program.commands[name] : undefined
  if (command) return command
  const known = Object.keys(program.commands)
  const what = name.startsWith('-') ? 'option before the command' : 'command'
  throw new UsageError(`There is no ${what} "${printable(name, 64)}".${hint(name, known)}`)
}

function readInput(command: CliCommand, args: string[]): Omit<CliInput, 'signal'> {
  const specs = command.options ?? {}
  const known = Object.entries(specs).map(([name, { type, short }]) => {
    const kind = type === 'boolean' ? 'boolean' : 'string'
    return [name, { type: kind, multiple: true, ...(short !== undefined && { short }) }] as const
  })
  const { tokens } = parseArgs({
    args,
    options: Object.fromEntries(known),
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const options: Record<string, string | boolean | string[] | undefined> = {}
  for (const token of tokens) {
    if (token.kind === 'option') setOption(options, specs, token)
  }
  for (const [name, spec] of Object.entries(specs)) {
    if (options[name] === undefined && spec.default !== undefined) options[name] = spec.default
  }
  const positionals = tokens.flatMap((token) => (token.kind === 'positional' ? [token.value] : []))
  checkPositionals(command.positionals ?? [], positionals)
  if (command.actions) checkAction(Object.keys(command.actions), positionals[0]!)
  return { options, positionals }
}

interface OptionToken {
  readonly name: string
  readonly rawName: string
  readonly value: string | undefined
  readonly inlineValue: boolean | undefined
}

function setOption(
  options: Record<string, string | boolean | string[] | undefined>,
  specs: Readonly<Record<string, CliOption>>,
  { name, rawName, value, inlineValue }: OptionToken,
): void {
  const spec = Object.hasOwn(specs, name) ? specs[name] : undefined
  if (!spec)
    throw new UsageError(
      `There is no option "${printable(rawName, 64)}".${hint(name, Object.keys(specs), '--')}`,
    )
  if (spec.type === 'boolean') {
    if (value !== undefined) throw new UsageError(`The option --${name} takes no value.`)
    options[name] = true
    return
  }
  const forgotten = inlineValue !== true && value?.startsWith('-') === true && value.length > 1
  if (value === undefined || value === '' || forgotten) {
    const isMeant = forgotten && value?.startsWith('--') !== true
    const remedy = isMeant ? ` A value that begins with - is written --${name}=${spec.value ?? 'VALUE'}.` : ''
    throw new UsageError(`The option --${name} needs a value: --${name} ${spec.value ?? 'VALUE'}.${remedy}`)
  }
  const before = options[name]
  if (spec.type === 'list') options[name] = [...(Array.isArray(before) ? before : []), value]
  else if (before !== undefined) throw new UsageError(`The option --${name} is given twice.`)
  else options[name] = value
}

function checkPositionals(specs: readonly string[], found: readonly string[]): void {
  const missing = specs.filter((spec) => !spec.startsWith('['))[found.length]
  if (missing !== undefined) throw new UsageError(`The argument ${missing} is missing.`)
  const open = specs.some((spec) => spec.replace(/\]$/, '').endsWith('...'))
  const extra = open ? undefined : found[specs.length]
  if (extra !== undefined) throw new UsageError(`The argument "${printable(extra, 64)}" is one too many.`)
}

function checkAction(known: readonly string[], action: string): void {
  if (known.includes(action)) return
  throw new UsageError(`"${printable(action, 64)}" is none of ${known.join(', ')}.${hint(action, known)}`)
}

function hint(word: string, known: readonly string[], prefix = ''): string {
  const near = nearest(word, known)
  return near === undefined ? '' : ` Did you mean "${prefix}${near}"?`
}

async function withSignals(
  run: (signal: AbortSignal) => Promise<number | void> | number | void,
  err: (text: string) => void,
): Promise<number> {
  const ending = new AbortController()
  const onSignal = (name: NodeJS.Signals): void => {
    if (ending.signal.aborted) {
      err(`Ended by a second ${name}.\n`)
      process.exit(1)
    }
    ending.abort(name)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    return (await run(ending.signal)) ?? 0
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}
