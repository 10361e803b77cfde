import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createReporter, openStore, serveControl, type ProgramReporter } from '@fieldwhisper/host'
import { decodeBatch, hex } from '@fieldwhisper/protocol'
import { loadRelayConfig, relayConstants, startRelay } from '@fieldwhisper/relay'
import t from 'tap'
import { Agent } from '../../../agent/src/app.js'
import { loadAgentConfig } from '../../../agent/src/config/load.js'
import { SPOOL_TABLES, TABLE } from '../../../agent/src/spool/records.js'
import { Gateway, GATEWAY_TABLES } from '../../../gateway/src/app.js'
import { saveBrokerUsers } from '../../../gateway/src/bridge/broker-users.js'
import { decodeItem, OUTBOX_TABLE } from '../../../gateway/src/bridge/outbox-entry.js'
import { loadGatewayConfig } from '../../../gateway/src/config/index.js'
import { loadIdentity } from '../../../gateway/src/identity-file.js'
import { memoryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { seededRandom } from '../../support/seeded-random.js'
import { filesIn, loadState, type StateDump } from '../../upgrades/state.js'

/*
 * Every file of every state folder, damaged in every way, and the program started on it, here in one process: it starts, says what
 * it set aside, and holds no value that it did not hold before. The folders are those of a site with readings in spool, outbox
 * and mailboxes (test/upgrades). The same on real processes, fewer of them: damaged-site.test.ts.
 */

interface Running {
  readonly status: () => object
  readonly stop: () => Promise<void>
}

interface Kept {
  readonly name: 'agent' | 'gateway' | 'relay'
  /** Folder of the store in the state folder. */
  readonly store: string
  start(dir: string, reporter: ProgramReporter): Promise<Running>
  /** What it holds for others: where it lies to what it is. */
  held(dir: string, reporter: ProgramReporter): Promise<Map<string, string>>
}

function failOnFatal(error?: unknown): never {
  throw error instanceof Error ? error : new Error('the store failed')
}

async function heldIn(
  dir: string,
  tables: readonly string[],
  table: string,
  reporter: ProgramReporter,
  read: (value: Uint8Array) => string | undefined,
): Promise<Map<string, string>> {
  const store = await openStore({ dir, tables, reporter, readOnly: true })
  const held = new Map<string, string>()
  for (const { key, value } of store.range(table)) {
    const found = read(value)
    if (found !== undefined) held.set(hex(key), found)
  }
  await store.close()
  return held
}

function valuesOf(batch: Uint8Array): string {
  return JSON.stringify(decodeBatch(batch).readings.map(({ name, value }) => [name, value]))
}

const agent: Kept = {
  name: 'agent',
  store: 'spool',
  async start(stateDir, reporter) {
    const config = { ...loadAgentConfig(), relays: [] }
    const lan = { ...config.lan, enabled: false }
    const running = new Agent({
      stateDir,
      config: { ...config, lan },
      reporter,
      sources: false,
      onFatal: failOnFatal,
    })
    await running.start()
    return { status: () => running.status(), stop: () => running.stop() }
  },
  held: (dir, reporter) => heldIn(join(dir, 'spool'), SPOOL_TABLES, TABLE.chunks, reporter, valuesOf),
}

const mqttPort = await freePort()
const gateway: Kept = {
  name: 'gateway',
  store: 'store',
  async start(stateDir, reporter) {
    const path = join(stateDir, '..', 'gateway.yaml')
    writeFileSync(path, `lan: { enabled: false }\nmqtt: { embedded: { port: ${mqttPort} } }\n`)
    const config = loadGatewayConfig(path)
    const identity = loadIdentity(stateDir, reporter)
    const running = new Gateway({ stateDir, config, identity, reporter, onFatal: failOnFatal })
    await running.start()
    return { status: () => running.status(), stop: () => running.stop() }
  },
  held: (dir, reporter) =>
    heldIn(join(dir, 'store'), GATEWAY_TABLES, OUTBOX_TABLE, reporter, (value) => {
      const item = decodeItem(value)
      return item.kind === 'readings' ? valuesOf(item.entry.batch) : undefined
    }),
}

const relay: Kept = {
  name: 'relay',
  store: 'store',
  start(stateDir, reporter) {
    const listen = { host: '127.0.0.1', port: 0 }
    return startRelay({ stateDir, reporter, config: loadRelayConfig(), listen, onFatal: failOnFatal })
  },
  held: (dir, reporter) =>
    heldIn(join(dir, 'store'), relayConstants.TABLES, relayConstants.TABLE.packets, reporter, (value) =>
      hex(value),
    ),
}

const random = seededRandom(20_261_123)
const dice = (below: number): number => Buffer.from(random(4)).readUInt32BE() % below

function flip(path: string, ...bits: readonly number[]): void {
  const bytes = readFileSync(path)
  for (const bit of bits) bytes[bit >> 3]! ^= 1 << (bit & 7)
  writeFileSync(path, bytes)
}

const sizeOf = (path: string): number => readFileSync(path).length

/** Where the pages are; behind them an agent's spool has room in advance. */
const pagesOf = (path: string): number => Math.min(sizeOf(path), 96 * 1024)

const inPages = (path: string): void => flip(path, dice(8 * pagesOf(path)))

/** Of a database, some more, for there is more to hit. */
const MORE: Readonly<Record<string, (path: string) => void>> = {
  'with a bit flipped in a page': inPages,
  'with a bit flipped in another page': inPages,
  'with a bit flipped in a third page': inPages,
  'with twenty bits flipped in pages': (path) =>
    flip(path, ...Array.from({ length: 20 }, () => dice(8 * pagesOf(path)))),
  'with a page of zeros': (path) => {
    const bytes = readFileSync(path)
    const page = 2 + dice(pagesOf(path) / 4096 - 2)
    writeFileSync(path, bytes.fill(0, 4096 * page, 4096 * (page + 1)))
  },
}

/** Each leaves something else than what was written. */
const damages: Readonly<Record<string, (path: string) => void>> = {
  emptied: (path) => truncateSync(path, 0),
  'cut in half': (path) => truncateSync(path, sizeOf(path) >> 1),
  'with a bit flipped in the middle': (path) => flip(path, 4 * sizeOf(path)),
  'with a bit flipped somewhere': (path) => flip(path, dice(8 * sizeOf(path))),
  'with five bits flipped': (path) => flip(path, ...Array.from({ length: 5 }, () => dice(8 * sizeOf(path)))),
  'all zeros': (path) => writeFileSync(path, Buffer.alloc(sizeOf(path))),
  'all random': (path) => writeFileSync(path, random(Math.min(sizeOf(path), 1 << 20))),
  'a folder': (path) => {
    rmSync(path)
    mkdirSync(path)
  },
  deleted: (path) => rmSync(path),
}

/** Nothing that a program needs is in these; a start makes them anew. */
const PASSING = /^((store|spool)\/(lock\.mdb|closed|unclosed)|ballast)$/
/** Of these only that they are there and can be read. */
const FOR_PASSING = /^(emptied|all random|a folder|deleted)$/

/** What is left of a secret may be one too: no program can tell. */
const SECRET = /^(access-token|mqtt-password)$/

const BROKER_USER = {
  name: 'dashboard',
  hash: `scrypt-14-8-1.${'A'.repeat(22)}.${'A'.repeat(43)}`,
  read: ['fieldwhisper/#'],
  write: [],
}

for (const kept of [agent, gateway, relay]) {
  void t.test(`any file of the ${kept.name}'s state, damaged in any way`, { timeout: 180_000 }, async (t) => {
    const folder = memoryFolder(t)
    const base = join(folder, 'base')
    const dump = JSON.parse(
      readFileSync(new URL(`../../upgrades/0.1.0/${kept.name}.json`, import.meta.url), 'utf8'),
    ) as StateDump
    await loadState(base, dump)
    // Of an option that the kept state does not use.
    if (kept === gateway) saveBrokerUsers(base, [BROKER_USER])
    const quiet = createReporter({ write: () => undefined })
    await (await kept.start(base, quiet)).stop()
    // As it is after its first look at a full disk; test/unit/gateway/ballast.test.ts has the rest.
    rmSync(join(base, 'ballast'), { force: true })
    const before = await kept.held(base, quiet)
    t.ok(before.size >= 4, `${kept.name} holds something`)
    const files = filesIn(base)
    t.ok(files.length >= 4)
    let [tried, started] = [0, 0]
    for (const file of files) {
      const more = file.endsWith('data.mdb') ? MORE : {}
      for (const [how, damage] of Object.entries({ ...damages, ...more })) {
        if (PASSING.test(file) && !FOR_PASSING.test(how)) continue
        tried++
        const dir = join(folder, 'state')
        // With times to the nanosecond: a store that was closed in order is known by them.
        execFileSync('cp', ['-a', base, dir])
        const path = join(dir, file)
        if (sizeOf(path) > 0) damage(path)
        const codes: string[] = []
        const reporter = createReporter({ write: () => undefined })
        reporter.listen(({ code, level }) => void (level === 'info' || codes.push(code)))
        const name = `${file} ${how}`
        try {
          const control = await serveControl(dir, {}, reporter)
          const running = await kept.start(dir, reporter)
          started++
          if (typeof running.status() !== 'object') t.fail(`${name}: no status`)
          await running.stop()
          await control.close()
          const after = await kept.held(dir, reporter)
          const changed = [...after].filter(([key, value]) => before.get(key) !== value)
          if (changed.length > 0) t.same(changed, [], `${name}: a value changed`)
          const inStore = file === join(kept.store, 'data.mdb')
          const said = codes.some((code) => /SET_ASIDE|CORRUPT|REPLACED|MISSING|LOST/.test(code))
          if (!inStore && after.size !== before.size) t.fail(`${name}: ${before.size - after.size} are gone`)
          if (inStore && after.size < before.size && !said)
            t.fail(`${name}: something is gone and nobody said so`)
          const mustSay = !PASSING.test(file) && how !== 'deleted' && !inStore
          if (mustSay && !said && !(SECRET.test(file) && /flipped|half/.test(how)))
            t.fail(`${name}: nothing was said`)
        } catch (error) {
          t.fail(`${name}: ${String(error)}`, { codes })
        }
        rmSync(dir, { recursive: true })
      }
    }
    t.ok(tried > 25)
    t.equal(started, tried)
  })
}
