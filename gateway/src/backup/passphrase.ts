import { errorText, UsageError } from '@fieldwhisper/host'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { GatewayError } from '../errors.js'

/** Whoever finds the backup may guess for years. */
export const MIN_PASSPHRASE = 12

/**
 * From the first line of a file, or typed where there is somebody to type it, twice for a new backup. Never from the command line,
 * which every user of the machine can read. Throws GatewayError `FW_PASSPHRASE_UNUSABLE`, UsageError without a terminal.
 */
export async function readPassphrase(file: string | undefined, isNew: boolean): Promise<string> {
  if (file !== undefined) return checked(firstLine(file), isNew)
  if (!process.stdin.isTTY) {
    throw new UsageError('Nobody can type the passphrase here: give --passphrase-file FILE.')
  }
  const typed = checked(await ask('Passphrase of the backup: '), isNew)
  if (isNew && (await ask('The same once more: ')) !== typed) throw unusable('the two are not the same')
  return typed
}

function firstLine(file: string): string {
  try {
    return readFileSync(file, 'utf8').split(/\r?\n/, 1)[0]!
  } catch (error) {
    throw unusable(`${file} cannot be read: ${errorText(error)}`)
  }
}

function checked(passphrase: string, isNew: boolean): string {
  const length = [...passphrase].length
  if (length === 0) throw unusable('it is empty')
  if (isNew && length < MIN_PASSPHRASE) {
    throw unusable(`it has ${length} characters, at least ${MIN_PASSPHRASE} are needed (four words will do)`)
  }
  return passphrase
}

async function ask(question: string): Promise<string> {
  process.stderr.write(question)
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  try {
    return await lines.question('')
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

function unusable(reason: string): GatewayError {
  return new GatewayError('FW_PASSPHRASE_UNUSABLE', `the passphrase cannot be used: ${reason}`)
}
