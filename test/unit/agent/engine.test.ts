import { createMemoryStore } from '@fieldwhisper/host/testing'
import { addressKeyFromSeed, crypto } from '@fieldwhisper/protocol'
import t from 'tap'
import { Alarms } from '../../../agent/src/alarms.js'
import { NO_SESSION, NO_SITE } from '../../../agent/src/core/index.js'
import { Engine, systemDrive } from '../../../agent/src/engine.js'
import { Intake } from '../../../agent/src/intake.js'
import { AgentRelays } from '../../../agent/src/paths/relays.js'
import { SPOOL_TABLES } from '../../../agent/src/spool/index.js'
import { fresh, ScriptedGateway } from './scripted-gateway.js'
import { openRig } from './spool-rig.js'

const clock = {
  monoMs: () => performance.now(),
  wallMs: () => Date.now(),
  quality: () => 'unknown' as const,
  bootId: new Uint8Array(8),
}

void t.test('a state file that cannot be written is reported, and the work goes on', async (t) => {
  const codes: string[] = []
  const gateway = new ScriptedGateway()
  const { spool } = await openRig({ store: createMemoryStore({ tables: SPOOL_TABLES }) })
  const { invite } = gateway
  const engine = new Engine({
    drive: systemDrive,
    offerAll: false,
    core: {
      identity: crypto.signingKey(fresh(32)),
      standing: { state: 'joining', invite: { fingerprint: invite.siteFingerprint, ...invite } },
      site: NO_SITE,
      session: NO_SESSION,
      batches: spool,
    },
    clock,
    reporter: { event: (_level, code) => void codes.push(code) },
    relays: () => undefined,
    lan: () => undefined,
    save: () => {
      throw new Error('no space left')
    },
    joined: () => undefined,
    useRelays: () => undefined,
    batchInterval: () => undefined,
    command: () => undefined,
  })
  engine.start()
  engine.post({ type: 'record', source: 'link 1', record: gateway.signed.record.bytes })
  engine.stop()
  t.ok(codes.includes('FW_AGENT_STATE_UNSAVED'))
  t.equal(engine.courierStatus().outstanding, 1, 'the hello is on its way')
})

void t.test('a relay whose address is none is reported and left out', async (t) => {
  const codes: string[] = []
  const events: string[] = []
  const relays = new AgentRelays(
    { event: (_level, code) => void codes.push(code) },
    {
      courier: ({ type }) => void events.push(type),
      packet: () => undefined,
      record: () => undefined,
      connected: () => undefined,
      mailboxRemoved: () => void events.push('mailboxRemoved'),
    },
  )
  await relays.use([{ url: 'http://not-a-relay' }])
  t.same(codes, ['FW_AGENT_RELAY_UNUSABLE'])
  t.same(relays.list, [])
  relays.remove(addressKeyFromSeed(fresh(32)))
  t.same(events, ['mailboxRemoved'], 'without a relay there is nothing to remove')
})

void t.test('a sample becomes a reading at the time it was taken', async (t) => {
  const rig = await openRig()
  const at = rig.timers.now - 500
  const virtual = { ...clock, monoMs: () => rig.timers.now, wallMs: () => 1_800_000_000_000 }
  const intake = new Intake(rig.spool, virtual, { event: () => undefined }, new Alarms([]))
  void intake.accept({ name: 'temperature', unit: 'Cel', value: 21.5, at })
  await rig.timers.turn(1_200)
  const [held] = [...rig.spool.behind()]
  t.same(rig.valuesOf(held!), [21.5])
  t.match(intake.latest(), [{ name: 'temperature', unit: 'Cel', value: 21.5, agoMs: 1_700 }])
})
