import type { CliCommand, CliOption, CliProgram } from './cli.js'

export function programHelp({ name, summary, commands }: CliProgram): string {
  const rows = Object.entries(commands).map(([command, { summary }]) => [command, summary] as const)
  const [first] = Object.values(commands)
  return [
    `${name}: ${summary}`,
    '',
    `Usage: ${name} COMMAND [OPTIONS]`,
    '',
    'Commands:',
    ...table(rows),
    '',
    ...(first ? ['Example:', `  ${first.example}`, ''] : []),
    `"${name} COMMAND --help" tells more. Exit codes: 0 done, 1 failed, 2 used wrongly.`,
    '',
  ].join('\n')
}

export function commandHelp(program: CliProgram, name: string, command: CliCommand): string {
  const options = Object.entries(command.options ?? {})
  const usage = [
    program.name,
    name,
    ...(command.positionals ?? []),
    ...(options.length > 0 ? ['[OPTIONS]'] : []),
  ]
  const rows = options.map(([option, spec]) => [optionForm(option, spec), optionText(spec)] as const)
  return [
    `${program.name} ${name}: ${command.summary}`,
    '',
    `Usage: ${usage.join(' ')}`,
    '',
    ...(command.actions
      ? [`${command.positionals?.[0] ?? ''}:`, ...table(Object.entries(command.actions)), '']
      : []),
    ...(rows.length > 0 ? ['Options:', ...table(rows), ''] : []),
    'Example:',
    `  ${command.example}`,
    '',
  ].join('\n')
}

function optionForm(name: string, { type, short, value }: CliOption): string {
  const argument = type === 'boolean' ? '' : ` ${value ?? 'VALUE'}`
  return `${short === undefined ? '' : `-${short}, `}--${name}${argument}`
}

function optionText(spec: CliOption): string {
  const notes = [
    ...(spec.type === 'list' ? ['may be given several times'] : []),
    ...(spec.default === undefined ? [] : [`default: ${spec.default}`]),
  ]
  return notes.length === 0 ? spec.summary : `${spec.summary} (${notes.join('; ')})`
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
