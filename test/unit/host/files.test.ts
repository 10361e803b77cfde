import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import {
  ensureStateDir,
  readJsonFile,
  refuseNewerFiles,
  writeFileDurably,
  writeJsonFile,
} from '@fieldwhisper/host'
import { folder, listen } from './support.js'

const NOON = { wallMs: () => Date.UTC(2026, 10, 23, 12) }
const schema = z.strictObject({ name: z.string(), number: z.number() })

void t.test('a file is replaced whole, with its mode, and leaves nothing beside it', (t) => {
  const dir = folder(t)
  const path = join(dir, 'identity')
  writeFileDurably(path, 'first')
  writeFileDurably(path, new Uint8Array([1, 2, 3]))
  t.same([...readFileSync(path)], [1, 2, 3])
  t.equal(statSync(path).mode & 0o777, 0o600)
  writeFileDurably(join(dir, 'public'), '', 0o644)
  t.equal(statSync(join(dir, 'public')).mode & 0o777, 0o644)
  t.strictSame(readdirSync(dir).sort(), ['identity', 'public'])
  t.end()
})

void t.test('a file that cannot be written is an error and leaves the old one and no temporary one', (t) => {
  const dir = folder(t)
  const failed = { name: 'HostError', code: 'FW_FILE_FAILED' }
  t.throws(() => writeFileDurably(join(dir, 'missing', 'file'), 'x'), failed)
  mkdirSync(join(dir, 'taken'))
  t.throws(() => writeFileDurably(join(dir, 'taken'), 'x'), failed)
  t.strictSame(readdirSync(dir), ['taken'])
  t.end()
})

void t.test('a JSON file is read through its schema; a missing one is undefined', (t) => {
  const path = join(folder(t), 'state.json')
  const reporter = listen()
  t.equal(readJsonFile(path, { schema, reporter }), undefined)
  writeFileDurably(path, JSON.stringify({ name: 'pump', number: 7 }))
  t.strictSame(readJsonFile(path, { schema, reporter }), { name: 'pump', number: 7 })
  t.strictSame(reporter.codes(), [])
  t.end()
})

for (const [what, content, reason] of [
  ['text that is not JSON', '{"name": "s3cret', 'it is not JSON'],
  ['bytes that are not text', Buffer.from([0xff, 0xfe, 0x00]), 'it is not text'],
  ['an unknown key', '{"name":"a","number":1,"more":1}', 'its top level is not as it should be'],
  ['a wrong type', '{"name":"s3cret","number":"1"}', 'number is not as it should be'],
  ['an empty file', '', 'it is not JSON'],
] as const) {
  void t.test(`${what} is set aside and reported without its content`, (t) => {
    const dir = folder(t)
    const path = join(dir, 'state.json')
    writeFileSync(path, content)
    const reporter = listen()
    t.equal(readJsonFile(path, { schema, reporter, clock: NOON }), undefined)
    const kept = join(dir, 'state.json.corrupt-20261123T120000Z')
    t.same(readFileSync(kept), Buffer.from(content))
    t.notOk(existsSync(path))
    t.match(reporter.told, [
      { level: 'error', code: 'FW_FILE_SET_ASIDE', fields: { file: path, kept, reason } },
    ])
    t.notMatch(JSON.stringify(reporter.told), /s3cret/)
    t.end()
  })
}

void t.test('a JSON file that cannot be read is an error and stays', (t) => {
  const path = join(folder(t), 'state.json')
  symlinkSync('state.json', path)
  const read = () => readJsonFile(path, { schema, reporter: listen() })
  t.throws(read, { name: 'HostError', code: 'FW_FILE_FAILED' })
  t.ok(lstatSync(path).isSymbolicLink())
  t.end()
})

void t.test('a folder in the place of a JSON file is set aside', (t) => {
  const path = join(folder(t), 'state.json')
  mkdirSync(path)
  const reporter = listen()
  t.equal(readJsonFile(path, { schema, reporter, clock: NOON }), undefined)
  t.match(reporter.told, [{ code: 'FW_FILE_SET_ASIDE', fields: { reason: 'it is a folder' } }])
  t.notOk(existsSync(path))
  t.end()
})

for (const indent of [0, 2]) {
  void t.test(`no flipped bit of a JSON file with ${indent} spaces makes another value`, (t) => {
    const dir = folder(t)
    const path = join(dir, 'state.json')
    const value = { name: 'pump', number: 1_234_567 }
    writeJsonFile(path, value, indent)
    const whole = readFileSync(path)
    t.match(JSON.parse(whole.toString()), value, 'other programs can read it too')
    let refused = 0
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const damaged = Buffer.from(whole)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      writeFileSync(path, damaged)
      const found = readJsonFile(path, { schema, reporter: listen(), clock: { wallMs: () => bit * 1_000 } })
      if (found) t.strictSame(found, value, `bit ${bit}`)
      else refused++
    }
    t.ok(refused > 8 * (whole.length - 16), 'nearly all of them are noticed, the rest is space')
    t.end()
  })
}

void t.test('a JSON file of a newer release is refused and left; one with a damaged version is not', (t) => {
  const dir = folder(t)
  const path = join(dir, 'state.json')
  const versioned = z.strictObject({ version: z.literal(1), name: z.string() })
  writeJsonFile(path, { version: 2, name: 'pump', news: [] })
  const before = readFileSync(path)
  const reporter = listen()
  const newer = { name: 'HostError', code: 'FW_FILE_NEWER' }
  t.throws(() => readJsonFile(path, { schema: versioned, reporter }), newer)
  t.throws(() => refuseNewerFiles([join(dir, 'none.json'), path]), newer)
  t.same(readFileSync(path), before)
  t.strictSame(readdirSync(dir), ['state.json'])
  t.strictSame(reporter.codes(), [])
  writeFileSync(path, before.toString().replace('"version":2', '"version":3'))
  refuseNewerFiles([path])
  t.equal(readJsonFile(path, { schema: versioned, reporter }), undefined)
  t.strictSame(reporter.codes(), ['FW_FILE_SET_ASIDE'])
  t.end()
})

void t.test('the state folder is made for its owner alone', (t) => {
  const dir = join(folder(t), 'a', 'b')
  const reporter = listen()
  ensureStateDir(dir, reporter)
  t.equal(statSync(dir).mode & 0o777, 0o700)
  ensureStateDir(dir, reporter)
  t.strictSame(reporter.codes(), [])
  t.end()
})

void t.test('a state folder that others can enter is closed to them, and that is said', (t) => {
  const dir = join(folder(t), 'state')
  mkdirSync(dir)
  chmodSync(dir, 0o750)
  const reporter = listen()
  ensureStateDir(dir, reporter)
  t.equal(statSync(dir).mode & 0o777, 0o700)
  t.match(reporter.told, [
    { level: 'warn', code: 'FW_STATE_TIGHTENED', fields: { folder: dir, mode: '750' } },
  ])
  t.end()
})

void t.test("a state folder that is a file, or another user's, is refused", (t) => {
  const dir = folder(t)
  const refused = { name: 'HostError', code: 'FW_STATE_DIR' }
  writeFileSync(join(dir, 'file'), '')
  t.throws(() => ensureStateDir(join(dir, 'file'), listen()), refused)
  symlinkSync('/proc', join(dir, 'theirs'))
  const uid = process.getuid!()
  t.teardown(() => (process.getuid = () => uid))
  process.getuid = () => uid + 1
  t.throws(() => ensureStateDir(dir, listen()), refused)
  t.end()
})
