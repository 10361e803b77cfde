import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeJsonFile } from '@fieldwhisper/host'
import t from 'tap'
import { BrokerLogins } from '../../../gateway/src/bridge/broker-logins.js'
import {
  hashPassword,
  isPasswordOf,
  loadBrokerUsers,
  mayRead,
  mayWrite,
  newPassword,
  saveBrokerUsers,
  withoutUser,
  withUser,
  type BrokerUser,
  type NewUser,
} from '../../../gateway/src/bridge/broker-users.js'
import { temporaryFolder } from '../../support/folder.js'
import { recorder } from './bridge-support.js'

const PASSWORD = 'correct horse battery'
const never = (): boolean => false
const user = (change: Partial<NewUser> = {}): NewUser => ({
  name: 'dashboard',
  password: PASSWORD,
  read: ['fw/#'],
  write: [],
  ...change,
})

void t.test('users are kept with a hash alone, in a file for the owner alone', async (t) => {
  const folder = temporaryFolder(t)
  const reporter = recorder()
  t.same(loadBrokerUsers(folder, reporter), [])
  const users = await withUser([], user({ write: ['fw/+/$agents/+/command'] }))
  saveBrokerUsers(folder, users)
  const path = join(folder, 'broker-users.json')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.notMatch(readFileSync(path, 'utf8'), /horse/)
  t.same(loadBrokerUsers(folder, reporter), users)
  t.ok(await isPasswordOf(users[0]!.hash, PASSWORD))
  t.notOk(await isPasswordOf(users[0]!.hash, `${PASSWORD} `))
  t.not(await hashPassword(PASSWORD), users[0]!.hash, 'each hash has its salt')
  t.not(newPassword(), newPassword())
  t.match(newPassword(), /^[\w-]{32}$/)
  t.same(reporter.events, [])
  chmodSync(path, 0o600)
})

void t.test('a file of users that does not read is set aside, and nobody but the gateway logs in', (t) => {
  const hash = `scrypt-14-8-1.${'A'.repeat(22)}.${'A'.repeat(43)}`
  const one = { name: 'a', hash, read: ['#'], write: [] }
  const files: [string, unknown][] = [
    ['no JSON', undefined],
    ['another form of hash', [{ ...one, hash: 'scrypt-20-8-1.x.y' }]],
    ['a filter that is none', [{ ...one, read: ['a#'] }]],
    ['the name of the own user', [{ ...one, name: 'fieldwhisper' }]],
    ['a key more', [{ ...one, admin: true }]],
    ['too many', Array.from({ length: 101 }, (_, index) => ({ ...one, name: `u${index}` }))],
  ]
  for (const [what, users] of files) {
    const folder = temporaryFolder(t)
    const reporter = recorder()
    const text = users === undefined ? '{' : JSON.stringify({ version: 1, users })
    writeFileSync(join(folder, 'broker-users.json'), text)
    t.same(loadBrokerUsers(folder, reporter), [], what)
    t.same(reporter.codes(), ['FW_FILE_SET_ASIDE'], what)
    t.match(readdirSync(folder), [/^broker-users.json.corrupt-/])
  }
  const folder = temporaryFolder(t)
  writeJsonFile(join(folder, 'broker-users.json'), { version: 2, users: [], groups: [] })
  t.throws(() => loadBrokerUsers(folder, recorder()), { code: 'FW_FILE_NEWER' })
  t.match(readdirSync(folder), ['broker-users.json'], 'the file of a newer release stays')
  t.end()
})

void t.test('what no user can be is refused with its code', async (t) => {
  const some: BrokerUser[] = [{ name: 'dashboard', hash: 'x', read: [], write: [] }]
  const invalid: Partial<NewUser>[] = [
    { name: '' },
    { name: 'a b' },
    { name: 'a\u0007' },
    { name: 'n'.repeat(65) },
    { name: 'fieldwhisper' },
    { password: 'x'.repeat(11) },
    { password: 'x'.repeat(1_025) },
    { read: ['a#'] },
    { write: ['a/+b'] },
    { read: Array.from({ length: 33 }, (_, index) => `a/${index}`) },
  ]
  for (const change of invalid)
    await t.rejects(
      withUser([], user(change)),
      { name: 'GatewayError', code: 'FW_BROKER_USER_INVALID' },
      JSON.stringify(change).slice(0, 60),
    )
  await t.rejects(withUser(some, user()), { code: 'FW_BROKER_USER_EXISTS' })
  const many = Array.from({ length: 100 }, (_, index) => ({ ...some[0]!, name: `u${index}` }))
  await t.rejects(withUser(many, user()), { code: 'FW_BROKER_USERS_FULL' })
  t.equal((await withUser(many.slice(1), user())).length, 100)
  t.throws(() => withoutUser(some, 'other'), { code: 'FW_BROKER_USER_UNKNOWN' })
  t.same(withoutUser(some, 'dashboard'), [])
})

void t.test('rules are filters: nothing that was not named', (t) => {
  const one = { name: 'a', hash: '', read: ['fw/+/pump/#', 'x'], write: ['cmd/+'] }
  t.ok(mayRead(one, 'fw/s/pump/temp'))
  t.ok(mayRead(one, 'fw/s/pump/+'))
  t.notOk(mayRead(one, 'fw/s/+/temp'))
  t.notOk(mayRead(one, '#'))
  t.ok(mayWrite(one, 'cmd/a'))
  t.notOk(mayWrite(one, 'fw/s/pump/temp'))
  t.end()
})

void t.test('logins: right, wrong, removed, and one that comes back at once', async (t) => {
  const users = await withUser(
    await withUser([], user()),
    user({ name: 'other', password: 'another password' }),
  )
  const logins = new BrokerLogins('own password here', users)
  t.same(await logins.check('fieldwhisper', 'own password here', never), { name: 'fieldwhisper' })
  t.equal(await logins.check('fieldwhisper', PASSWORD, never), 'wrong')
  t.same(await logins.check('dashboard', Buffer.from(PASSWORD), never), { name: 'dashboard', user: users[0] })
  t.equal(await logins.check('dashboard', 'another password', never), 'wrong')
  t.equal(await logins.check('dashboard', '', never), 'wrong')
  t.equal(await logins.check('nobody', PASSWORD, never), 'wrong')
  t.equal(await logins.check('', '', never), 'wrong')
  t.equal(await logins.check('dashboard', 'x'.repeat(1_025), never), 'wrong', 'too long to be looked at')
  const asked = { gone: 0 }
  const gone = (): boolean => (asked.gone += 1) > 0
  t.match(await logins.check('dashboard', PASSWORD, gone), { name: 'dashboard' })
  t.equal(asked.gone, 0, 'a password that was right is not hashed again')
  t.equal(await logins.check('other', 'another password', gone), 'wrong', 'who is gone gets no hash')
  t.equal(asked.gone, 1)

  const login = { name: 'dashboard', user: users[0]! }
  t.ok(logins.holds(login))
  const racing = logins.check('other', 'another password', never)
  logins.replace(users.slice(0, 1))
  t.equal(await racing, 'wrong', 'removed while the password was checked')
  t.ok(logins.holds(login))
  logins.replace([{ ...users[0]!, read: [] }])
  t.notOk(logins.holds(login), 'other rules')
  logins.replace([])
  t.notOk(logins.holds(login))
  t.equal(await logins.check('dashboard', PASSWORD, never), 'wrong')
  t.ok(logins.holds({ name: 'fieldwhisper' }))
})

void t.test(
  'passwords are checked one at a time, and not more wait than there can be strangers',
  async (t) => {
    const logins = new BrokerLogins('own password here', await withUser([], user()))
    const checks = Array.from({ length: 45 }, () => logins.check('dashboard', 'wrong password', never))
    const found = await Promise.all(checks)
    t.equal(found.filter((one) => one === 'busy').length, 5)
    t.equal(found.filter((one) => one === 'wrong').length, 40)
    t.match(await logins.check('dashboard', PASSWORD, never), { name: 'dashboard' })
  },
)
