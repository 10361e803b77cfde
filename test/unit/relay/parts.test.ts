import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import {
  accessToken,
  Admission,
  admissions,
  DEFAULT_LIMITS,
  proofBudgets,
  relayNames,
  sourceOf,
  tokenCheck,
} from '@fieldwhisper/relay'
import { temporaryFolder } from '../../support/folder.js'

const silent = { event: () => undefined }

t.test('sources are IPv4 addresses and IPv6 networks; loopback is nobody', (t) => {
  t.equal(sourceOf('192.168.1.20'), '192.168.1.20')
  t.equal(sourceOf('::ffff:192.168.1.20'), '192.168.1.20')
  t.equal(sourceOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2/64')
  t.equal(sourceOf('2001:db8:1:2::9'), '2001:db8:1:2/64')
  t.equal(sourceOf('2001:db8::9'), '2001:db8:0:0/64')
  t.equal(sourceOf('fe80::1%eth0'), 'fe80:0:0:0/64')
  t.equal(sourceOf('::2'), '0:0:0:0/64')
  for (const loopback of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1'])
    t.equal(sourceOf(loopback), undefined)
  t.equal(sourceOf(undefined), 'unknown')
  t.end()
})

t.test('connectionsPerSource and strangersPerSource hold at the limit and not one over', (t) => {
  const limits = { ...DEFAULT_LIMITS, connections: 40, connectionsPerSource: 3, strangersPerSource: 2 }
  const { all, strangers } = admissions(limits)
  for (let i = 0; i < 3; i++) t.ok(all.enter('a'), `${i + 1} of one source`)
  t.equal(all.enter('a'), undefined)
  t.ok(all.enter('b'))
  for (let i = 0; i < 2; i++) t.ok(strangers.enter('a'), `${i + 1} strangers of one source`)
  t.equal(strangers.enter('a'), undefined)
  for (let i = 0; i < 2; i++) t.ok(strangers.enter('b'))
  t.equal(strangers.enter('c'), undefined, 'a tenth of 40 in all')
  t.ok(admissions({ ...limits, strangerPart: 8 }).strangers.enter('c'))
  t.end()
})

t.test('proofsPerSecond and strangerProofsPerSecond are budgets of their own', (t) => {
  const limits = { ...DEFAULT_LIMITS, proofsPerSecond: 3, strangerProofsPerSecond: 2 }
  const { memberProofs, strangerProofs } = proofBudgets(limits, 0)
  for (let i = 0; i < 3; i++) t.ok(memberProofs.take(0), `${i + 1} of members`)
  t.notOk(memberProofs.take(0))
  for (let i = 0; i < 2; i++) t.ok(strangerProofs.take(0), `${i + 1} of strangers`)
  t.notOk(strangerProofs.take(499))
  t.ok(strangerProofs.take(500))
  t.end()
})

t.test('admission counts in all and per source, at the limit and one over', (t) => {
  const admission = new Admission({ total: 3, perSource: 2 })
  const first = admission.enter('a')
  t.ok(first)
  t.ok(admission.enter('a'))
  t.equal(admission.enter('a'), undefined, 'per source')
  t.ok(admission.enter(undefined), 'loopback counts only in all')
  t.equal(admission.enter('b'), undefined, 'in all')
  first?.()
  first?.()
  t.equal(admission.open, 2, 'leaving twice counts once')
  t.ok(admission.enter('a'))
  t.end()
})

t.test(
  'a relay knows itself by its host name, .local, localhost and its addresses, or by what is configured',
  (t) => {
    let now = 0
    const own = relayNames(undefined, () => now)()
    for (const name of [
      hostname().toLowerCase(),
      `${hostname().split('.')[0]}.local`.toLowerCase(),
      'localhost',
      '127.0.0.1',
    ]) {
      t.ok(own.includes(name), name)
    }
    t.notOk(own.some((name) => name.includes('[') || name.includes('%')))
    now += 60_000
    t.same(relayNames(undefined, () => now)(), own)
    t.same(relayNames(['Relay.Example', '2001:DB8::0:1', '[::1]'], () => now)(), [
      'relay.example',
      '2001:db8::1',
      '::1',
    ])
    t.end()
  },
)

t.test('the access token is made once, for its owner alone, and checked whole', (t) => {
  const dir = temporaryFolder(t)
  const token = accessToken(dir, silent)
  t.match(token, /^[\w-]{32}$/)
  t.equal(statSync(join(dir, 'access-token')).mode & 0o777, 0o600)
  t.equal(accessToken(dir, silent), token, 'kept')
  t.equal(readFileSync(join(dir, 'access-token'), 'utf8'), `${token}\n`)
  t.equal(accessToken(dir, silent, 'configured-token-1'), 'configured-token-1')
  const check = tokenCheck(token)
  t.ok(check(`Bearer ${token}`))
  t.ok(check(`bearer ${token}`))
  for (const wrong of [
    undefined,
    '',
    token,
    `Basic ${token}`,
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Bearer  ${token}`,
  ]) {
    t.notOk(check(wrong), String(wrong))
  }
  writeFileSync(join(dir, 'access-token'), 'short\n')
  const codes: string[] = []
  const reporter = { event: (_: unknown, code: string) => void codes.push(code) }
  const fresh = accessToken(dir, reporter)
  t.match(fresh, /^[\w-]{32}$/, 'a relay that does not start helps nobody')
  t.equal(accessToken(dir, reporter), fresh)
  t.same(codes, ['FW_RELAY_TOKEN_REPLACED'])
  const kept = readdirSync(dir).find((name) => name.startsWith('access-token.corrupt-'))!
  t.equal(readFileSync(join(dir, kept), 'utf8'), 'short\n', 'and the old one is left for the operator')
  rmSync(join(dir, 'access-token'))
  mkdirSync(join(dir, 'access-token'))
  t.not(accessToken(dir, reporter), fresh)
  t.same(codes, ['FW_RELAY_TOKEN_REPLACED', 'FW_RELAY_TOKEN_REPLACED'])
  t.throws(() => accessToken(dir, silent, 'with a space in it'), { code: 'FW_RELAY_TOKEN_INVALID' })
  t.end()
})
