import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { writeJsonFile } from '@fieldwhisper/host'
import { decodeCbor, encodeCbor, type CborValue } from '@fieldwhisper/protocol'
import t from 'tap'
import { temporaryFolder } from '../support/folder.js'
import { until } from '../support/until.js'
import { here } from '../system/support/process.js'
import { Agent, Gateway, Relay, type AgentState } from '../system/support/site.js'
import { startBroker } from './broker.js'
import { readFrame, type GoldenFrame } from './frames.js'
import { filesIn, framed, loadState, type StateDump } from './state.js'

type ProgramName = 'agent' | 'gateway' | 'relay'

const releases = readdirSync(new URL('.', import.meta.url)).filter((name) => /^\d+\.\d+\.\d+$/.test(name))
const NO_LAN = { lan: { enabled: false } }

function kept<T>(release: string, name: string): T {
  return JSON.parse(readFileSync(new URL(`./${release}/${name}.json`, import.meta.url), 'utf8')) as T
}

t.ok(releases.length > 0, 'there is a release to come from')

for (const release of releases) {
  void t.test(`what ${release} said on the wire is read as it was meant`, (t) => {
    const frames = kept<GoldenFrame[]>(release, 'frames')
    t.ok(new Set(frames.map(({ kind }) => kind)).size >= 7)
    for (const { kind, bytes, says } of frames)
      t.same(readFrame(kind, new Uint8Array(Buffer.from(bytes, 'hex'))), says, kind)
    t.end()
  })

  void t.test(
    `a site of ${release} goes on: spool, mailboxes and outbox are delivered`,
    { timeout: 120_000 },
    async (t) => {
      const folder = temporaryFolder(t)
      const { atLeast, agent: name } = kept<{ atLeast: number; agent: string }>(release, 'site')
      const broker = await startBroker(t)
      const relay = new Relay(here, { folder })
      const relayState = kept<StateDump>(release, 'relay')
      await loadState(relay.stateDir, relayState)
      const relayProgram = relay.spawn('run', '--listen', '127.0.0.1:0')
      t.teardown(() => relayProgram.kill())
      const { listen, packets } = await relay.untilStatus<{ listen: string; ok: boolean; packets: number }>(
        ({ ok }) => ok,
        {
          withinMs: 30_000,
          what: 'the relay runs',
        },
      )
      t.ok(packets >= 4, 'mailboxes hold packets')
      const relays = [{ url: `ws://${listen}`, token: relayState.files['access-token']!.trim() }]
      const gateway = new Gateway(
        here,
        { folder },
        { ...NO_LAN, relays, mqtt: { url: `mqtt://127.0.0.1:${broker.port}` } },
      )
      await loadState(gateway.stateDir, kept(release, 'gateway'))
      const gatewayProgram = gateway.spawn('run')
      t.teardown(() => gatewayProgram.kill())
      await gatewayProgram.line(/FW_GATEWAY_RUNNING/, 30_000)
      await until(() => broker.seen.size >= 20 || undefined, {
        withinMs: 30_000,
        what: 'the outbox is published',
      })
      const agent = new Agent(here, name, { folder }, { ...NO_LAN, relays, sources: [] })
      await loadState(agent.stateDir, kept(release, 'agent'))
      const device = agent.spawn('run')
      t.teardown(() => device.kill())
      const { spool } = await agent.untilStatus<AgentState>(
        ({ spool }) => spool.held === 0 && spool.accepted >= atLeast,
        {
          withinMs: 60_000,
          what: 'the spool is empty',
        },
      )
      await until(() => broker.seen.size >= spool.accepted || undefined, {
        withinMs: 30_000,
        what: 'every reading is published',
      })
      t.equal(broker.seen.size, spool.accepted)
      t.equal(spool.dropped, 0)
      for (const [id, values] of broker.seen) t.equal(values.size, 1, `${id} has one value`)
      for (const program of [device, gatewayProgram, relayProgram]) {
        t.equal((await program.stop()).code, 0)
        t.notMatch(program.output(), /CORRUPT|SET_ASIDE|REPLACED|READINGS_LOST/)
      }
    },
  )
}

/** The value of a store's own record, with its layout or the version of its frame raised. */
const layoutRaised = (key: Buffer, stored: Buffer): Buffer => {
  const value = Buffer.from(stored.subarray(5))
  value[0]!++
  return framed(key, value)
}
const frameRaised = (key: Buffer, stored: Buffer): Buffer => {
  const frame = Buffer.from(stored)
  frame[0] = 2
  frame.writeUInt32BE(crc32(frame.subarray(5), crc32(key, crc32(frame.subarray(0, 1)))), 1)
  return frame
}
const cborRaised = (key: Buffer, stored: Buffer): Buffer => {
  const items = decodeCbor(new Uint8Array(stored.subarray(5))) as CborValue[]
  return framed(key, encodeCbor([2, ...items.slice(1), 'more']))
}
const byteRaised = layoutRaised

interface Newer {
  readonly program: ProgramName
  readonly code: string
  /** State file that a newer release wrote, or a change of entries in this table of the store. */
  readonly file?: string
  readonly table?: string
  readonly change?: (key: Buffer, stored: Buffer) => Buffer
}

const newer: readonly Newer[] = [
  ...(['agent', 'gateway', 'relay'] as const).flatMap((program) => [
    { program, code: 'FW_STORE_NEWER', table: '', change: layoutRaised },
    { program, code: 'FW_STORE_NEWER', table: '', change: frameRaised },
  ]),
  ...['identity.json', 'session.json', 'spool.json'].map((file) => ({
    program: 'agent' as const,
    code: 'FW_FILE_NEWER',
    file,
  })),
  ...['identity.json', 'relays.json'].map((file) => ({
    program: 'gateway' as const,
    code: 'FW_FILE_NEWER',
    file,
  })),
  ...['meta', 'agents', 'sessions'].map((table) => ({
    program: 'gateway' as const,
    code: 'FW_STATE_NEWER',
    table,
    change: cborRaised,
  })),
  { program: 'relay', code: 'FW_RELAY_STATE_NEWER', table: 'mailboxes', change: byteRaised },
]

function contents(folder: string): Record<string, string> {
  // The engine's lock table holds who has it open, and no state.
  const paths = filesIn(folder).filter((path) => !path.endsWith('lock.mdb'))
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(folder, path)).toString('base64')]))
}

for (const [i, { program, code, file, table, change }] of newer.entries()) {
  void t.test(
    `${program}: ${file ?? `table "${table}"`} of a newer release (${i}) is refused with ${code}, the folder unchanged`,
    { timeout: 60_000 },
    async (t) => {
      const folder = temporaryFolder(t)
      const options = { folder }
      const place =
        program === 'relay'
          ? new Relay(here, options)
          : program === 'gateway'
            ? new Gateway(here, options, NO_LAN)
            : new Agent(here, 'agent', options, NO_LAN)
      let changed = 0
      await loadState(place.stateDir, kept(releases.at(-1)!, program), (name, key, value) => {
        if (name !== table || (changed > 0 && table !== '')) return value
        changed++
        return change!(key, value)
      })
      if (file !== undefined) {
        const path = join(place.stateDir, file)
        const { crc32: _, ...content } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
        writeJsonFile(path, { ...content, version: 2, more: true })
      } else t.ok(changed > 0)
      const before = contents(place.stateDir)
      const started = place.spawn('run')
      t.teardown(() => started.kill())
      const { code: exit, stderr } = await started.exited(30_000)
      t.equal(exit, 1)
      t.match(stderr, new RegExp(`error ${code}: `))
      t.same(contents(place.stateDir), before)
    },
  )
}
