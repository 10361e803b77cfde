import { ESLint } from 'eslint'
import t from 'tap'
import { root } from '../../support/repository.js'

/** Lints a text as if it stood at `path`, with the rules that ban, which need no types. */
async function banned(path: string, text: string): Promise<string[]> {
  const eslint = new ESLint({
    cwd: root,
    ruleFilter: ({ ruleId }) =>
      ruleId.startsWith('no-restricted') || ruleId === 'max-lines' || ruleId === 'no-console',
    overrideConfig: {
      linterOptions: { reportUnusedDisableDirectives: 'off' },
      languageOptions: { parserOptions: { projectService: false } },
    },
  })
  const [result] = await eslint.lintText(text, { filePath: path })
  return (result?.messages ?? []).map((message) => message.ruleId ?? message.message)
}

const cores = [
  'protocol/src/session/x.ts',
  'agent/src/core/x.ts',
  'relay/src/core/deep/x.ts',
  'mesh/src/courier/x.ts',
  'mesh/src/lan/neighbours.ts',
  'gateway/src/sparkplug/x.ts',
]

void t.test('a core may not reach clock, randomness, timers, disk or network', async (t) => {
  const lines = [
    'export const a = Date.now()',
    'export const a = new Date()',
    'export const a = Math.random()',
    'export const a = performance.now()',
    'export const a = globalThis.setTimeout',
    'setTimeout(() => {}, 1)',
    'crypto.getRandomValues(new Uint8Array(1))',
    "import 'node:fs'",
    "import { readFile } from 'node:fs/promises'",
    "import { connect } from 'node:net'",
    "import { createSocket } from 'node:dgram'",
    "import { setTimeout as later } from 'node:timers/promises'",
    "import { randomBytes } from 'node:crypto'",
    "import { randomUUID as id } from 'node:crypto'",
    "import * as c from 'node:crypto'",
    "import c from 'node:crypto'",
    "import { randomBytes } from '@noble/hashes/utils.js'",
    'export const a = ed25519.utils.randomSecretKey()',
    'export const a = ed25519.keygen()',
    "export const a = import('node:fs')",
  ]
  for (const line of lines) t.not((await banned('agent/src/core/x.ts', line)).length, 0, line)
  for (const path of cores) t.not((await banned(path, 'export const a = Date.now()')).length, 0, path)
})

void t.test('a core may compute, and the outside may use the machine', async (t) => {
  const pure = "import { createHmac } from 'node:crypto'\nexport const a = (now: number) => Math.max(now, 1)"
  for (const path of cores) t.same(await banned(path, pure), [], path)
  const outside = "import 'node:fs'\nimport { randomBytes } from 'node:crypto'\nexport const a = Date.now()"
  t.same(await banned('agent/src/runtime.ts', outside), [])
  t.same(await banned('mesh/src/lan/links.ts', outside), [])
})

void t.test('only command lines print', async (t) => {
  t.same(await banned('agent/src/runtime.ts', "console.log('x')"), ['no-console'])
  t.same(await banned('agent/src/cli.ts', "console.log('x')"), [])
  t.same(await banned('gateway/src/cli/enroll.ts', "console.log('x')"), [])
})

void t.test('the cap of a source file is 500 lines and of a test 800', async (t) => {
  const lines = (n: number): string => 'export {}\n'.repeat(n)
  t.same(await banned('agent/src/a.ts', lines(500)), [])
  t.same(await banned('agent/src/a.ts', lines(501)), ['max-lines'])
  t.same(await banned('test/unit/a.test.ts', lines(800)), [])
  t.same(await banned('test/unit/a.test.ts', lines(801)), ['max-lines'])
})
