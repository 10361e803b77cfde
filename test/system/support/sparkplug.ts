/** Google's own implementation of protocol buffers, as Debian ships it: an independent reader and writer of Sparkplug payloads. */
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PYTHON = '/usr/bin/python3'
const support = dirname(fileURLToPath(import.meta.url))

/** Why it cannot be used here, or false. */
export function missingProtoc(): string | false {
  try {
    execFileSync('protoc', ['--version'], { stdio: 'ignore' })
    execFileSync(PYTHON, ['-c', 'import google.protobuf'], { stdio: 'ignore' })
    return false
  } catch {
    return 'protoc and its Python module are not installed (apt-get install protobuf-compiler python3-protobuf)'
  }
}

/** Answers of the Python program, a line each. */
export function ask(folder: string, lines: readonly string[]): string[] {
  execFileSync('protoc', [`--proto_path=${support}`, `--python_out=${folder}`, 'sparkplug.proto'])
  const input = lines.map((line) => `${line}\n`).join('')
  const answer = execFileSync(PYTHON, [join(support, 'sparkplug_codec.py'), folder], {
    input,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 ** 2,
  })
  return answer.trimEnd().split('\n')
}

export function decode(folder: string, payloads: readonly Uint8Array[]): unknown[] {
  const lines = payloads.map((payload) => `d ${Buffer.from(payload).toString('hex')}`)
  return ask(folder, lines).map((line): unknown => JSON.parse(line))
}
