import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Invite } from '@fieldwhisper/protocol'
import t from 'tap'
import { joinProgress, prepareJoin } from '../../../agent/src/join.js'
import { StateFolder } from '../../../agent/src/state/folder.js'
import type { AgentStatus } from '../../../agent/src/status.js'

const bytes = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value)
const KEY = {
  k: bytes(32),
  certificate: bytes(150),
  siteKey: bytes(32),
  fingerprint: bytes(16),
  directorySlot: bytes(16),
}
const INVITE: Invite = {
  siteFingerprint: bytes(16),
  directorySlot: bytes(16, 2),
  id: 0x8000_0007,
  secret: bytes(32, 3),
  relays: [{ url: 'ws://relay.lan:24780', token: 'secret' }],
}

function folderIn(path: string): { folder: StateFolder; codes: string[] } {
  const codes: string[] = []
  return { folder: new StateFolder(path, { event: (_level, code) => void codes.push(code) }), codes }
}

void t.test('what is saved is read again, in files that nobody else may read', (t) => {
  const dir = t.testdir({})
  const { folder } = folderIn(dir)
  const site = {
    relays: [{ url: 'wss://r', fingerprint: 'ab' }],
    siteRevision: 3,
    downThrough: 2,
    doorbell: { epoch: 1, secret: bytes(32) },
    record: bytes(10),
  }
  const session = {
    base: { id: bytes(8), resumption: bytes(32), oneTime: bytes(20) },
    mailboxes: [{ up: bytes(32), down: bytes(32, 2), answered: true }],
    silence: { silentMs: 5, nextMs: 7, step: 'probed' as const },
  }
  folder.save({ type: 'save', file: 'key', value: KEY })
  folder.save({ type: 'save', file: 'site', value: site })
  folder.save({ type: 'save', file: 'session', value: session })
  folder.keepLinks([{ address: '10.0.0.1', port: 24_708 }])
  const again = folderIn(dir).folder
  t.same(again.standing(), { state: 'member', key: KEY })
  t.same(again.site(), site)
  t.same(again.session(), session)
  t.same(again.links(), [{ address: '10.0.0.1', port: 24_708 }])
  for (const name of readdirSync(dir)) t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name)
  t.end()
})

void t.test('every file that does not read is set aside alone, and the rest goes on', (t) => {
  const dir = t.testdir({})
  const { folder, codes } = folderIn(dir)
  folder.makeIdentity(7)
  folder.save({ type: 'save', file: 'key', value: KEY })
  for (const name of ['session.json', 'site.json', 'identity.json'])
    writeFileSync(join(dir, name), '{"version":1,')
  t.equal(folder.identity(), undefined)
  t.match(folder.site(), { siteRevision: 0 })
  t.match(folder.session(), { mailboxes: [] })
  t.equal(folder.standing().state, 'member')
  t.same(codes, ['FW_FILE_SET_ASIDE', 'FW_FILE_SET_ASIDE', 'FW_FILE_SET_ASIDE'])
  t.equal(readdirSync(dir).filter((name) => name.includes('.corrupt-')).length, 3)
  t.end()
})

void t.test('joining makes a device, and the same invite belongs to the same device', (t) => {
  const dir = t.testdir({})
  const { folder, codes } = folderIn(dir)
  const reporter = { event: (_level: string, code: string) => void codes.push(code) }
  prepareJoin(folder, INVITE, reporter)
  const first = folder.identity()!
  t.match(folder.standing(), { state: 'joining', invite: { id: INVITE.id, relays: INVITE.relays } })
  prepareJoin(folder, INVITE, reporter)
  t.same(folder.identity(), first)
  t.same(codes, [])
  prepareJoin(folder, { ...INVITE, id: 0x8000_0008 }, reporter)
  t.notSame(folder.identity()!.seed, first.seed)
  t.same(codes, ['FW_AGENT_IDENTITY_NEW'])
  t.end()
})

void t.test('a member does not join again', (t) => {
  const { folder } = folderIn(t.testdir({}))
  folder.save({ type: 'save', file: 'key', value: KEY })
  t.throws(() => prepareJoin(folder, INVITE, { event: () => undefined }), { code: 'FW_AGENT_ALREADY_JOINED' })
  t.equal(folder.identity(), undefined)
  t.end()
})

void t.test('leaving removes keys and leaves the spool', (t) => {
  const dir = t.testdir({ spool: { 'data.mdb': 'readings' }, 'spool.json': '{}' })
  const { folder } = folderIn(dir)
  prepareJoin(folder, INVITE, { event: () => undefined })
  folder.save({ type: 'save', file: 'key', value: KEY })
  folder.forget()
  t.same(readdirSync(dir).sort(), ['spool', 'spool.json'])
  t.equal(readFileSync(join(dir, 'spool', 'data.mdb'), 'utf8'), 'readings')
  t.end()
})

void t.test('a join says how far it got and what to check', (t) => {
  const status = (session: AgentStatus['session'], connected: boolean): AgentStatus =>
    ({
      session,
      paths: {
        lan: { enabled: true, links: 1, devices: 3, searching: true },
        relays: [{ url: 'ws://relay.lan:24780', connected }],
      },
    }) as unknown as AgentStatus
  const none = joinProgress(status({ state: 'none', answered: false }, false))
  t.match(none, /prekey record was not found.*3 devices heard, 1 links; ws:\/\/relay.lan:24780 not reached/)
  const waiting = joinProgress(status({ state: 'waiting', answered: false }, true))
  const held = { ...status({ state: 'answered', answered: true }, true), hold: 'confirm' as const }
  t.match(joinProgress(held), /waits for its operator/)
  t.match(waiting, /on its way.*ws:\/\/relay.lan:24780 connected.*has not answered/)
  t.end()
})
