import { createReporter } from '@fieldwhisper/host'
import { encodeInvite, verifyRecord, siteFingerprint, crypto, type RelayInfo } from '@fieldwhisper/protocol'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createIdentity, loadIdentity } from '../../../gateway/src/identity-file.js'
import {
  addRelay,
  loadRelayList,
  mergeRelays,
  removeRelay,
  saveRelayList,
} from '../../../gateway/src/relay-list.js'
import { agentTable, inviteText, relayTable, statusText } from '../../../gateway/src/screens.js'
import type { AgentLine, GatewayStatus } from '../../../gateway/src/status.js'
import { temporaryFolder } from '../../support/folder.js'
import { CoreHarness } from './core-harness.js'

/*
 * Identity, list of relays, and what the commands print.
 */

function quiet(): { readonly reporter: ReturnType<typeof createReporter>; readonly codes: () => string[] } {
  const reporter = createReporter({ write: () => undefined })
  return { reporter, codes: () => reporter.recent().map(({ code }) => code) }
}

function modes(folder: string): string[] {
  return readdirSync(folder).map((name) => (statSync(join(folder, name)).mode & 0o777).toString(8))
}

const relay = (i: number): RelayInfo => ({ url: `ws://10.0.0.${i}:24780` })

void t.test('an identity is what was made, in a file for its owner alone', async (t) => {
  const folder = temporaryFolder(t)
  const { reporter, codes } = quiet()
  const made = createIdentity(folder, 'bakery')
  t.same(loadIdentity(folder, reporter), made)
  t.same(modes(folder), ['600'])
  t.same(codes(), [])
  const gateway = new CoreHarness(made)
  await gateway.tick(0)
  const site = siteFingerprint(crypto.signingKey(made.siteSeed).publicKey)
  t.ok(verifyRecord(gateway.record!, site), 'and its records verify')
})

void t.test('two sites share no secret', (t) => {
  const [one, two] = [createIdentity(temporaryFolder(t), 'a'), createIdentity(temporaryFolder(t), 'a')]
  for (const key of ['siteSeed', 'signingSeed', 'agreementSecret', 'master'] as const)
    t.notSame(one[key], two[key])
  t.end()
})

void t.test('a site is not made over another, nor over the state of one whose identity is gone', (t) => {
  const folder = temporaryFolder(t)
  createIdentity(folder, 'bakery')
  const before = readFileSync(join(folder, 'identity.json'))
  t.throws(() => createIdentity(folder, 'other'), { name: 'GatewayError', code: 'FW_SITE_EXISTS' })
  t.same(readFileSync(join(folder, 'identity.json')), before)
  const orphaned = temporaryFolder(t)
  mkdirSync(join(orphaned, 'store'))
  t.throws(() => createIdentity(orphaned, 'other'), {
    name: 'GatewayError',
    code: 'FW_SITE_EXISTS',
    message: /backup/,
  })
  t.same(readdirSync(orphaned), ['store'])
  t.end()
})

void t.test('a site has a name that a topic can hold', (t) => {
  for (const name of ['', ' bakery', 'a\nb', 'x'.repeat(65), '\ud800']) {
    const folder = temporaryFolder(t)
    t.throws(
      () => createIdentity(folder, name),
      { name: 'GatewayError', code: 'FW_NAME_INVALID' },
      JSON.stringify(name),
    )
    t.same(readdirSync(folder), [])
  }
  for (const name of ['a', 'Bäckerei 7', 'x'.repeat(64)]) t.ok(createIdentity(temporaryFolder(t), name))
  t.end()
})

void t.test('an identity that does not read is set aside, without its content in the report', (t) => {
  const whole = temporaryFolder(t)
  createIdentity(whole, 'bakery')
  const text = readFileSync(join(whole, 'identity.json'), 'utf8')
  const { master } = JSON.parse(text) as { master: string }
  const damaged = [
    text.slice(0, -20),
    text.replace(master, master.slice(2)),
    text.replace('"version": 1', '"version": 2'),
    text.replace('"master"', '"master_2"'),
    '[]',
  ]
  for (const content of damaged) {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, 'identity.json'), content, { mode: 0o600 })
    const { reporter, codes } = quiet()
    t.equal(loadIdentity(folder, reporter), undefined)
    t.same(codes(), ['FW_FILE_SET_ASIDE'])
    t.notOk(JSON.stringify(reporter.recent()).includes(master.slice(4, 20)))
    t.match(readdirSync(folder), [/^identity\.json\.corrupt-/])
  }
  t.equal(loadIdentity(temporaryFolder(t), quiet().reporter), undefined, 'and there may be none')
  t.end()
})

void t.test('relays are added, changed and removed by their URL', (t) => {
  const folder = temporaryFolder(t)
  const { reporter } = quiet()
  t.same(loadRelayList(folder, reporter), [])
  let list = addRelay([], { ...relay(1), token: 'secret' }, [])
  list = addRelay(list, { url: 'wss://relay.test', fingerprint: 'ab'.repeat(32) }, [])
  saveRelayList(folder, list)
  t.same(loadRelayList(folder, reporter), list)
  t.same(modes(folder), ['600'], 'it holds tokens')
  list = addRelay(list, { ...relay(1), token: 'new' }, list)
  t.equal(list.length, 2)
  t.match(list[1], { token: 'new' })
  t.same(removeRelay(list, relay(1).url), [{ url: 'wss://relay.test', fingerprint: 'ab'.repeat(32) }])
  t.throws(() => removeRelay(list, relay(9).url), { name: 'GatewayError', code: 'FW_RELAY_UNKNOWN' })
  t.end()
})

void t.test('a relay that could not be dialled is not added', (t) => {
  const bad: RelayInfo[] = [
    { url: 'http://10.0.0.1:24780' },
    { url: 'ws://' },
    { url: 'ws://host:99999' },
    { url: 'ws://host/path' },
    { url: 'ws://host?x=1' },
    { url: 'ws://user:pass@host' },
    { url: `ws://${'h'.repeat(260)}` },
    { url: 'ws://host', fingerprint: 'ab'.repeat(32) },
    { url: 'wss://host', fingerprint: 'ab' },
    { url: 'wss://host', token: 'with space' },
    { url: 'wss://host', token: 't'.repeat(129) },
  ]
  for (const one of bad) {
    t.throws(
      () => addRelay([], one, []),
      { name: 'GatewayError', code: 'FW_RELAY_URL_INVALID' },
      JSON.stringify(one),
    )
  }
  t.end()
})

void t.test('eight relays may be named, those of the configuration counted', (t) => {
  const named = [1, 2, 3].map(relay)
  const list = [4, 5, 6, 7].map(relay)
  t.equal(addRelay(list, relay(8), [...named, ...list]).length, 5)
  const full = [...list, relay(8)]
  t.throws(() => addRelay(full, relay(9), [...named, ...full]), {
    name: 'GatewayError',
    code: 'FW_RELAYS_FULL',
  })
  t.equal(
    addRelay(full, { ...relay(8), token: 'new' }, [...named, ...full]).length,
    5,
    'one that is there may change',
  )
  const merged = mergeRelays([{ ...relay(1), token: 'first' }], [relay(1), ...full, ...named])
  t.equal(merged.length, 8)
  t.match(merged[0], { token: 'first' })
  t.end()
})

function invite(relays: number): string {
  return encodeInvite({
    siteFingerprint: new Uint8Array(16),
    directorySlot: new Uint8Array(16),
    id: 0x8000_0001,
    secret: new Uint8Array(32),
    relays: Array.from({ length: relays }, (_, i) => ({
      url: `wss://${'r'.repeat(200)}-${i}:24780`,
      token: 't'.repeat(128),
      fingerprint: 'f'.repeat(64),
    })),
  })
}

void t.test(
  'an invite is printed as line and picture, and as a line alone where no picture holds it',
  (t) => {
    const short = inviteText('pump-7', invite(1))
    t.ok(short.includes(invite(1)))
    t.match(short, /█/)
    const long = inviteText('pump-7', invite(8))
    t.ok(long.includes(invite(8)))
    t.notMatch(long, /█/)
    t.match(long, /fieldwhisper-agent join fw1-/)
    t.end()
  },
)

void t.test('tables are aligned and say what is not there', (t) => {
  const agent: AgentLine = {
    name: 'pump-7',
    status: 'active',
    key: '00112233',
    last_seen: '2026-03-01T12:00:00.000Z',
    path: 'lan',
    readings: 12_345,
    lost: 0,
    missing: 3,
  }
  const never: AgentLine = { ...agent, name: 'a-much-longer-name', last_seen: null, path: null }
  const [head, ...rows] = agentTable([agent, never]).split('\n')
  t.match(head, /^NAME +STATUS +LAST SEEN \(UTC\) +PATH +READINGS +LOST +MISSING$/)
  t.match(rows[0], /^pump-7 +active +2026-03-01 12:00:00 +lan +12345 +0 +3$/)
  t.match(rows[1], /^a-much-longer-name +active +never +- /)
  t.equal(head!.indexOf('STATUS'), rows[0]!.indexOf('active'))
  t.match(agentTable([]), /enroll NAME/)
  const shown = relayTable([
    { ...relay(1), token: 'hidden' },
    { url: 'wss://relay.test', fingerprint: 'ab'.repeat(32) },
  ])
  t.match(shown, /^ws:\/\/10\.0\.0\.1:24780 +yes +-$/m)
  t.match(shown, /^wss:\/\/relay\.test +no +abababababababab$/m)
  t.notMatch(shown, /hidden/)
  t.match(relayTable([]), /LAN only/)
  t.end()
})

void t.test('a status without anything is still a screen', (t) => {
  const status: GatewayStatus = {
    healthy: false,
    problems: ['the identity is missing: restore it from a backup'],
    site: null,
    agents: { active: 0, waiting: 0, revoked: 0 },
    sessions: 0,
    packets: null,
    hold: null,
    lan: null,
    relays: [{ url: 'ws://relay.test', connected: false }],
    embedded_relay: null,
    mqtt: null,
    clock: 'unknown',
    events: [],
  }
  const text = statusText(status)
  t.match(text, /^NOT healthy: the identity is missing/)
  t.match(text, /^relay +ws:\/\/relay\.test NOT connected$/m)
  t.match(text, /^mqtt +not started$/m)
  t.match(
    statusText({ ...status, healthy: true, site: 'bakery', lan: { port: 24708, links: 2 } }),
    /^healthy\nsite +bakery/,
  )
  t.end()
})
