import { shellWord } from './format.js'
import type { MqttAccess } from './model.js'
import { width } from './width.js'

/** A command line that shows every reading, to be copied into another terminal. */
export function subscribeCommand(mqtt: MqttAccess): string {
  return commandParts(mqtt).join(' ')
}

function commandParts({ host, port, user, password, topic }: MqttAccess): string[] {
  return [
    'mosquitto_sub',
    `-h ${shellWord(host)}`,
    `-p ${port}`,
    `-u ${shellWord(user)}`,
    `-P ${shellWord(password)}`,
    `-t ${shellWord(topic)}`,
    '-v',
  ]
}

/** The same in lines of at most `columns`, joined by backslashes, so that it still works when copied from a narrow terminal. */
export function subscribeLines(mqtt: MqttAccess, columns: number, indent = ''): string[] {
  const lines: string[] = []
  let line = indent
  for (const part of commandParts(mqtt)) {
    const longer = line.trim() === '' ? line + part : `${line} ${part}`
    if (width(longer) + 2 <= columns || line.trim() === '') line = longer
    else {
      lines.push(`${line} \\`)
      line = `${indent}  ${part}`
    }
  }
  return [...lines, line]
}
