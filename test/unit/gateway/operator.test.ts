import { createReporter, type Store } from '@fieldwhisper/host'
import type { MemoryStore } from '@fieldwhisper/host/testing'
import { decodeInvite } from '@fieldwhisper/protocol'
import { Meta } from '@fieldwhisper/gateway/core'
import { writeFileSync } from 'node:fs'
import { join as path } from 'node:path'
import t, { type Test } from 'tap'
import { openGatewayStore } from '../../../gateway/src/app.js'
import { loadGatewayConfig } from '../../../gateway/src/config/index.js'
import { createIdentity } from '../../../gateway/src/identity-file.js'
import { controlHandlers, operate, type OperatorCommands } from '../../../gateway/src/operator.js'
import { temporaryFolder } from '../../support/folder.js'
import { CoreHarness } from './core-harness.js'
import { join, say, settle } from './core-scenes.js'

/*
 * The operator's commands on the stored state of a gateway that does not run.
 */

type Place = Parameters<typeof operate>[0]

/** A site with one device, pump-7, that has sent two readings and announced a third. */
async function site(t: Test): Promise<Place> {
  const stateDir = temporaryFolder(t)
  const reporter = createReporter({ write: () => undefined })
  const identity = createIdentity(stateDir, 'bakery')
  const store = await openGatewayStore(stateDir, reporter, () => undefined)
  await store.commit([Meta.initialWrite()])
  const gateway = new CoreHarness(identity, store as Store as MemoryStore)
  await gateway.tick(0)
  const scene = await settle(await join(gateway))
  const { agent } = scene
  const data = agent.reading(2)
  await say(scene, { ...data, streams: [{ stream: agent.stream, floor: 0, end: 3, closed: false }] })
  await gateway.core.stop()
  await store.close()
  return { stateDir, reporter, config: loadGatewayConfig() }
}

void t.test('devices are listed with what they sent and owe', async (t) => {
  const place = await site(t)
  t.match(await operate(place, 'agents', {}), [
    { name: 'pump-7', status: 'active', readings: 2, lost: 0, missing: 1, path: null },
  ])
})

void t.test('a name, a revocation and an invite are on disk when the command returns', async (t) => {
  const place = await site(t)
  const line = await operate(place, 'enroll', { name: 'pump-9', replace: false, confirm: true })
  t.ok(decodeInvite(line))
  await operate(place, 'rename', { name: 'pump-7', to: 'pump-8' })
  t.match(await operate(place, 'agents', {}), [{ name: 'pump-8', status: 'active' }])
  await operate(place, 'revoke', { name: 'pump-8' })
  t.match(await operate(place, 'agents', {}), [{ name: 'pump-8', status: 'revoked', lost: 1 }])
})

void t.test('what cannot be is refused with its code and changes nothing', async (t) => {
  const place = await site(t)
  const before = await operate(place, 'agents', {})
  const refused: [keyof OperatorCommands, unknown, string][] = [
    ['enroll', { name: 'pump-7', replace: false, confirm: false }, 'FW_NAME_TAKEN'],
    ['enroll', { name: 'a b', replace: false, confirm: false }, 'FW_NAME_INVALID'],
    ['enroll', { name: 7, replace: false, confirm: false }, 'FW_NAME_INVALID'],
    ['enroll', { name: '$agents', replace: false, confirm: false }, 'FW_NAME_INVALID'],
    ['rename', { name: 'pump-8', to: 'pump-9' }, 'FW_AGENT_UNKNOWN'],
    ['rename', { name: 'pump-7', to: 'pump-7' }, 'FW_NAME_TAKEN'],
    ['rename', { name: 'pump-7', to: 'x/y' }, 'FW_NAME_INVALID'],
    ['revoke', { name: 'pump-8' }, 'FW_AGENT_UNKNOWN'],
    ['confirm', { name: 'pump-8' }, 'FW_AGENT_UNKNOWN'],
    ['relays', { add: { url: 'ftp://x' } }, 'FW_RELAY_URL_INVALID'],
    ['relays', { remove: 'ws://x' }, 'FW_RELAY_UNKNOWN'],
  ]
  for (const [command, args, code] of refused) {
    await t.rejects(
      operate(place, command, args as never),
      { name: 'GatewayError', code },
      `${command} ${code}`,
    )
  }
  t.same(await operate(place, 'agents', {}), before)
  t.same(await operate(place, 'relays', {}), [])
})

void t.test('adding and removing a relay in one command does both', async (t) => {
  const place = await site(t)
  await operate(place, 'relays', { add: { url: 'ws://old.test' } })
  t.same(await operate(place, 'relays', { add: { url: 'ws://new.test' }, remove: 'ws://old.test' }), [
    { url: 'ws://new.test' },
  ])
  t.same(await operate(place, 'relays', {}), [{ url: 'ws://new.test' }])
  const line = await operate(place, 'enroll', { name: 'pump-9', replace: false, confirm: false })
  t.same(decodeInvite(line).relays, [{ url: 'ws://new.test' }])
})

void t.test(
  'an invite that is made while the gateway does not run names the certificate of its own relay',
  async (t) => {
    const place = await site(t)
    const cert = path(place.stateDir, 'cert.pem')
    writeFileSync(cert, CERTIFICATE)
    const config = loadGatewayConfig()
    const relay = {
      ...config.relay,
      enabled: true,
      urls: ['wss://gateway.lan:24780'],
      tls: { cert, key: cert },
    }
    const line = await operate({ ...place, config: { ...config, relay } }, 'enroll', {
      name: 'pump-9',
      replace: false,
      confirm: false,
    })
    t.match(decodeInvite(line).relays, [
      { url: 'wss://gateway.lan:24780', token: /./, fingerprint: FINGERPRINT },
    ])
  },
)

void t.test('a folder without a site is told so', async (t) => {
  const reporter = createReporter({ write: () => undefined })
  const place = { stateDir: temporaryFolder(t), reporter, config: loadGatewayConfig() }
  await t.rejects(operate(place, 'agents', {}), { name: 'GatewayError', code: 'FW_IDENTITY_MISSING' })
})

void t.test('a gateway that starts, and one without identity, say which of both', (t) => {
  const reporter = createReporter({ write: () => undefined })
  const place = { stateDir: temporaryFolder(t), reporter, config: loadGatewayConfig() }
  const starting = controlHandlers(() => undefined, place)
  t.throws(() => starting['agents']!({}), { name: 'GatewayError', code: 'FW_GATEWAY_STARTING' })
  t.throws(() => starting['status']!({}), { code: 'FW_GATEWAY_STARTING' })
  const nobody = controlHandlers(() => ({ identified: false, core: undefined }) as never, place)
  t.throws(() => nobody['enroll']!({}), { name: 'GatewayError', code: 'FW_IDENTITY_MISSING' })
  t.end()
})

/** A certificate without its key: only its fingerprint is asked for. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgzCCASmgAwIBAgIUWS/2hcMjSkFMK0G/KlsY1kNk6UgwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLZ2F0ZXdheS5sYW4wIBcNMjYxMTIzMDYzMTM4WhgPMjEyNjEw
MzAwNjMxMzhaMBYxFDASBgNVBAMMC2dhdGV3YXkubGFuMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEShXtgninxFLdbNVZW2SnuiRK0Pf+m2mjwJDTY1wk36k1PMaH
t9YRCML9G0ItxtLJ6q6x8H5a/0089p3BJqgqJaNTMFEwHQYDVR0OBBYEFAE9LnYu
I8g8oEuebVnBeVrPa3aDMB8GA1UdIwQYMBaAFAE9LnYuI8g8oEuebVnBeVrPa3aD
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAJEHkadZ8Wi+9kI5
7pWWEHBC+TNYPFckUyuc/h1EIWrWAiBSkoMx2as17gN7HhTG9v0J+uwk/3PI12NZ
lFZ0T2t0/w==
-----END CERTIFICATE-----
`
const FINGERPRINT = 'fe53fef628fb54ec15317412cd1e75f1e51645f439bed8d75db4d70b856bfd9a'
