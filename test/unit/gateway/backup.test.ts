import { createReporter } from '@fieldwhisper/host'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openGatewayStore } from '../../../gateway/src/app.js'
import { checkHeader, keyOf, newHeader, openItems, type Item } from '../../../gateway/src/backup/format.js'
import { writeBackup } from '../../../gateway/src/backup/make.js'
import { temporaryFolder } from '../../support/folder.js'
import { cli, here, type Finished } from '../../system/support/process.js'

/*
 * Backups of a gateway that does not run, with the real program. With one that runs: test/system/loopback/backup.test.ts.
 */

const [node, program] = cli('gateway')
const PASSPHRASE = 'correct horse battery'
const silent = createReporter({ write: () => undefined })

interface Site {
  readonly folder: string
  readonly state: string
  readonly file: string
  readonly passphrase: string
}

function gateway(...args: readonly string[]): Promise<Finished> {
  return here.run(node, [program, ...args], { withinMs: 40_000 })
}

function refusedWith(test: Test, done: Finished, code: string): void {
  test.equal(done.code, 1)
  test.match(done.stderr, new RegExp(`^error ${code}: `, 'm'))
  test.equal(done.stdout, '')
}

/** A site with an open invite and a relay, and its backup. */
async function backedUp(test: Test): Promise<Site> {
  const folder = temporaryFolder(test)
  const [state, file, passphrase] = ['gateway', 'a.fwbackup', 'passphrase'].map((name) =>
    join(folder, name),
  ) as [string, string, string]
  writeFileSync(passphrase, `${PASSPHRASE}\n`)
  const config = join(folder, 'mine.yaml')
  writeFileSync(config, 'lan: { enabled: false }\n')
  for (const args of [
    ['init', '--site', 'bakery'],
    ['enroll', 'pump-7'],
    ['relays', '--add', 'ws://10.0.0.1:24780', '--token', 'secret-token'],
    ['backup', file, '--passphrase-file', passphrase, '--config', config],
  ]) {
    const done = await gateway(...args, '--state', state)
    if (done.code !== 0) throw new Error(done.stderr)
  }
  return { folder, state, file, passphrase }
}

function restore({ file, passphrase }: Site, to: string): Promise<Finished> {
  return gateway('restore', file, '--state', to, '--passphrase-file', passphrase)
}

async function itemsOf({ file }: Site): Promise<Item[]> {
  const bytes = new Uint8Array(readFileSync(file))
  const header = bytes.subarray(0, 28)
  const key = await keyOf(PASSPHRASE, header)
  let at = header.length
  const read = (length: number): Promise<Uint8Array> => Promise.resolve(bytes.slice(at, (at += length)))
  const items: Item[] = []
  for await (const item of openItems(header, key, read)) items.push(item)
  return items
}

void t.test(
  'a backup is restored: the same site, its relays, its configuration, and open invites closed',
  async (t) => {
    const site = await backedUp(t)
    t.equal(statSync(site.file).mode & 0o777, 0o600)
    t.notMatch(readFileSync(site.file, 'latin1'), 'secret-token')
    t.notOk(
      readdirSync(site.state).some((name) => name.endsWith('.part')),
      'nothing of it is left in the state',
    )
    const to = join(site.folder, 'new')
    const done = await restore(site, to)
    t.equal(done.code, 0)
    t.match(done.stdout, /Repeat every revocation made after/)
    t.match(done.stdout, /old gateway does not run/)
    t.match(done.stderr, /FW_GATEWAY_RESTORED/)
    t.equal(
      readFileSync(join(to, 'identity.json'), 'utf8'),
      readFileSync(join(site.state, 'identity.json'), 'utf8'),
    )
    t.equal(readFileSync(join(to, 'gateway.yaml'), 'utf8'), 'lan: { enabled: false }\n')
    t.equal(statSync(to).mode & 0o777, 0o700)
    t.match((await gateway('relays', '--state', to)).stdout, /ws:\/\/10\.0\.0\.1:24780/)
    t.match((await gateway('events', '--state', to)).stdout, /warn +FW_GATEWAY_RESTORED/)
    const store = await openGatewayStore(to, silent, () => undefined)
    t.teardown(() => store.close())
    t.equal([...store.range('outbox')].length, 1, 'and it is told on MQTT')
    t.equal([...store.range('invites')].length, 1)
  },
)

void t.test('no private prekey, session key or resumption secret is in a backup', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'identity.json'), '{}')
  const store = await openGatewayStore(folder, silent, () => undefined)
  t.teardown(() => store.close())
  const tables = ['meta', 'agents', 'invites', 'ledger', 'outbox', 'retained', 'events', 'running']
  const secret = ['prekeys', 'hellos', 'sessions', 'session_up', 'session_down']
  const value = Buffer.from('a value')
  await store.commit([...tables, ...secret].map((table) => ({ table, key: Buffer.from(table), value })))
  const header = newHeader((n) => new Uint8Array(n).fill(3))
  const key = await keyOf(PASSPHRASE, header)
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const { part } = await writeBackup(folder, store, { header: text(header), key: text(key) })
  const items = await itemsOf({ folder, state: folder, file: part, passphrase: '' })
  const found = items.filter(({ kind }) => kind === 3).map(({ name }) => name)
  t.same(found.sort(), [...tables].sort())
})

void t.test('everything in a backup was so at one moment, whatever is written meanwhile', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'identity.json'), '{}')
  const store = await openGatewayStore(folder, silent, () => undefined)
  t.teardown(() => store.close())
  const both = (value: number): Promise<void> =>
    store.commit(
      ['agents', 'outbox'].map((table) => ({ table, key: Buffer.from('k'), value: Uint8Array.of(value) })),
    )
  await both(1)
  const snapshot = store.snapshot()
  const first = [...snapshot.range('agents')].map(({ value }) => value[0])
  await both(2)
  const second = [...snapshot.range('outbox')].map(({ value }) => value[0])
  snapshot.close()
  t.same([first, second], [[1], [1]])
  t.equal(store.get('outbox', Buffer.from('k'))![0], 2)
})

void t.test(
  'a wrong passphrase, a cut or changed file and a folder in use are refused, and nothing is made',
  { timeout: 120_000 },
  async (t) => {
    const site = await backedUp(t)
    const to = join(site.folder, 'new')
    const wrong = join(site.folder, 'wrong')
    writeFileSync(wrong, 'correct horse batterz')
    refusedWith(t, await restore({ ...site, passphrase: wrong }, to), 'FW_BACKUP_PASSPHRASE')
    refusedWith(t, await restore(site, site.state), 'FW_STATE_NOT_EMPTY')
    const whole = readFileSync(site.file)
    const changed = async (change: (bytes: Buffer) => Buffer): Promise<Finished> => {
      writeFileSync(site.file, change(Buffer.from(whole)))
      return restore(site, to)
    }
    refusedWith(t, await changed((bytes) => bytes.subarray(0, -1)), 'FW_BACKUP_DAMAGED')
    refusedWith(t, await changed((bytes) => bytes.subarray(0, 28 + 20)), 'FW_BACKUP_DAMAGED')
    refusedWith(t, await changed((bytes) => Buffer.concat([bytes, Buffer.of(0)])), 'FW_BACKUP_DAMAGED')
    const flip = (at: number) => (bytes: Buffer) => {
      bytes[at]! ^= 1
      return bytes
    }
    refusedWith(t, await changed(flip(whole.length - 100)), 'FW_BACKUP_DAMAGED')
    refusedWith(t, await changed(flip(0)), 'FW_BACKUP_INVALID')
    refusedWith(t, await changed((bytes) => (bytes.writeUInt8(2, 8), bytes)), 'FW_BACKUP_NEWER')
    refusedWith(t, await changed((bytes) => (bytes.writeUInt8(40, 9), bytes)), 'FW_BACKUP_INVALID')
    t.notOk(readdirSync(site.folder).includes('new'), 'and no folder was made')
    mkdirSync(to)
    refusedWith(t, await changed((bytes) => bytes.subarray(0, -1)), 'FW_BACKUP_DAMAGED')
    t.same(readdirSync(to), [], 'an empty one stays empty')
    t.equal((await changed((bytes) => bytes)).code, 0)
  },
)

void t.test(
  'a backup overwrites nothing and asks for a passphrase that is one',
  { timeout: 60_000 },
  async (t) => {
    const site = await backedUp(t)
    const again = (file: string, passphrase: string): Promise<Finished> =>
      gateway('backup', file, '--state', site.state, '--passphrase-file', passphrase)
    const before = readFileSync(site.file)
    refusedWith(t, await again(site.file, site.passphrase), 'FW_BACKUP_FILE_EXISTS')
    t.ok(readFileSync(site.file).equals(before))
    const short = join(site.folder, 'short')
    writeFileSync(short, '12345678901')
    refusedWith(t, await again(join(site.folder, 'b'), short), 'FW_PASSPHRASE_UNUSABLE')
    refusedWith(t, await again(join(site.folder, 'b'), join(site.folder, 'none')), 'FW_PASSPHRASE_UNUSABLE')
    refusedWith(t, await again(join(site.folder, 'no', 'b'), site.passphrase), 'FW_BACKUP_FAILED')
    const silentOne = await gateway('backup', join(site.folder, 'b'), '--state', site.state)
    t.equal(silentOne.code, 2)
    t.match(silentOne.stderr, /--passphrase-file/)
    rmSync(join(site.state, 'identity.json'))
    refusedWith(t, await again(join(site.folder, 'b'), site.passphrase), 'FW_IDENTITY_MISSING')
    t.notOk(readdirSync(site.state).some((name) => name.endsWith('.part')))
  },
)

void t.test('a head of another length or with costs out of bounds is no backup', (t) => {
  const header = newHeader((n) => new Uint8Array(n))
  checkHeader(header)
  t.throws(() => checkHeader(header.subarray(1)), { code: 'FW_BACKUP_INVALID' })
  for (const [at, value] of [
    [9, 21],
    [9, 0],
    [10, 9],
    [10, 0],
    [11, 5],
    [11, 0],
  ] as const) {
    const changed = Uint8Array.from(header)
    changed[at] = value
    t.throws(() => checkHeader(changed), { code: 'FW_BACKUP_INVALID' }, `${value} at ${at}`)
  }
  for (const [at, value] of [
    [9, 20],
    [10, 8],
    [11, 4],
  ] as const) {
    const changed = Uint8Array.from(header)
    changed[at] = value
    t.doesNotThrow(() => checkHeader(changed))
  }
  t.end()
})
