import t from 'tap'
import { Alarms, type AlarmRule, type AlarmStep } from '../../../agent/src/alarms.js'
import { alarmsOf } from '../../../agent/src/config/alarms.js'
import { loadAgentConfig } from '../../../agent/src/config/load.js'
import { agentConfigSchema } from '../../../agent/src/config/schema.js'
import { Intake } from '../../../agent/src/intake.js'
import { parseConfig, type Clock } from '@fieldwhisper/host'
import type { Reading } from '@fieldwhisper/protocol'
import { joinedRig } from './core-rig.js'

const HOT: AlarmRule = { name: 'hot', reading: 'temp', side: 'above', limit: 80, clear: 75, holdMs: 0 }

/** The readings of an alarm for one value after the other, a second apart. */
function fed(rule: AlarmRule, ...values: readonly (number | string)[]): string[] {
  const alarms = new Alarms([rule])
  return values.map((value, second) => {
    const sample =
      value === 'bad' ? { name: 'temp', value: 99, quality: 'bad' as const } : { name: 'temp', value }
    return said(alarms.observe(sample, second * 1_000))
  })
}

function said(steps: readonly (AlarmStep | undefined)[]): string {
  return steps
    .flatMap((step) => step?.samples ?? [])
    .map(({ name, value }) => `${name.replace('alarm/', '')}=${String(value)}`)
    .join(' ')
}

void t.test('an alarm is raised above its limit and over below its clear value, said once each', (t) => {
  t.same(fed(HOT, 70, 80, 80.5, 90, 80, 75, 74.9, 76, 81), [
    'hot=false',
    '',
    'hot=true hot/acknowledged=false',
    '',
    '',
    '',
    'hot=false',
    '',
    'hot=true hot/acknowledged=false',
  ])
  const cold: AlarmRule = { ...HOT, name: 'cold', side: 'below', limit: 5, clear: 7 }
  t.same(fed(cold, 5, 4.9, 7, 7.1), ['cold=false', 'cold=true cold/acknowledged=false', '', 'cold=false'])
  t.same(fed({ ...HOT, clear: 80 }, 80.1, 80, 80.1), [
    'hot=true hot/acknowledged=false',
    'hot=false',
    'hot=true hot/acknowledged=false',
  ])
  t.end()
})

void t.test('with a hold time the reading has to stay beyond the limit for so long', (t) => {
  const slow = { ...HOT, holdMs: 3_000 }
  t.same(fed(slow, 70, 90, 90, 90, 79, 90, 90, 90, 90), [
    'hot=false',
    '',
    '',
    '',
    '',
    '',
    '',
    '',
    'hot=true hot/acknowledged=false',
  ])
  t.same(fed(slow, 90, 90, 79), ['', '', 'hot=false'], 'nothing is said before it is known')
  t.end()
})

void t.test('values that are bad, no numbers, or of another reading change nothing', (t) => {
  t.same(fed(HOT, 70, 'bad', 'hot', 90, 'bad', 'cold'), [
    'hot=false',
    '',
    '',
    'hot=true hot/acknowledged=false',
    '',
    '',
  ])
  t.same(new Alarms([HOT]).observe({ name: 'pressure', value: 99 }, 0), [])
  t.end()
})

void t.test('a raised alarm is acknowledged until it is raised anew', (t) => {
  const alarms = new Alarms([HOT, { ...HOT, name: 'hotter', limit: 90, clear: 90 }])
  t.equal(alarms.acknowledge('hot', 0), undefined)
  t.equal(alarms.acknowledge('none', 0), undefined)
  const steps = alarms.observe({ name: 'temp', value: 85 }, 1_000)
  t.equal(said(steps), 'hot=true hot/acknowledged=false hotter=false')
  t.match(steps[0]?.news, { level: 'warn', code: 'FW_ALARM_RAISED' })
  t.equal(said([alarms.acknowledge('hot', 2_000)]), 'hot/acknowledged=true')
  t.equal(alarms.acknowledge('hotter', 2_000), undefined)
  t.match(alarms.observe({ name: 'temp', value: 20 }, 3_000)[0]?.news, {
    level: 'info',
    code: 'FW_ALARM_OVER',
  })
  t.equal(said(alarms.observe({ name: 'temp', value: 85 }, 4_000)), 'hot=true hot/acknowledged=false')
  t.end()
})

void t.test('alarms of a configuration: a limit on one side, a clear value on the other, names once', (t) => {
  const parse = (yaml: string) => parseConfig(`alarms: ${yaml}`, agentConfigSchema, 'agent.yaml').alarms
  const refused = { name: 'HostError', code: 'FW_CONFIG_INVALID' }
  t.same(loadAgentConfig().alarms, [])
  t.equal(
    said(
      alarmsOf(parse('[{ reading: temp, above: 80, clear: 75, hold: 0s }]')).observe(
        { name: 'temp', value: 81 },
        0,
      ),
    ),
    'temp=true temp/acknowledged=false',
  )
  t.equal(
    said(
      alarmsOf(parse('[{ reading: temp, name: low, below: 0 }]')).observe({ name: 'temp', value: -0.1 }, 0),
    ),
    'low=true low/acknowledged=false',
  )
  for (const yaml of [
    '[{ reading: temp }]',
    '[{ reading: temp, above: 1, below: 0 }]',
    '[{ reading: temp, above: 80, clear: 81 }]',
    '[{ reading: temp, below: 5, clear: 4 }]',
    '[{ reading: temp, above: 80 }, { reading: temp, above: 90 }]',
    `[{ reading: ${'t'.repeat(101)}, above: 80 }]`,
    `[{ reading: temp, above: 80, name: ${'n'.repeat(101)} }]`,
    '[{ reading: temp, above: 80, hold: 61m }]',
    `[${Array.from({ length: 101 }, (_, i) => `{ reading: r${i}, above: 1 }`).join(', ')}]`,
  ])
    t.throws(() => parse(yaml), refused, yaml.slice(0, 60))
  t.equal(
    parse(`[${Array.from({ length: 100 }, (_, i) => `{ reading: r${i}, above: 1 }`).join(', ')}]`).length,
    100,
  )
  t.end()
})

const clock: Clock = {
  monoMs: () => 5_000,
  wallMs: () => 1.7e12,
  quality: () => 'synchronised',
  bootId: new Uint8Array(8),
}

void t.test(
  'an alarm goes into the spool behind its reading, urgent; what the spool refuses is told',
  async (t) => {
    const taken: [Reading, boolean][] = []
    const codes: string[] = []
    let refuse = false
    const intake = new Intake(
      {
        append: (reading, urgent = false) => {
          if (refuse && urgent) return Promise.reject(new Error('full'))
          taken.push([reading, urgent])
          return Promise.resolve()
        },
      },
      clock,
      { event: (_level, code) => void codes.push(code) },
      new Alarms([HOT]),
    )
    await intake.accept({ name: 'temp', value: 90, unit: 'Cel' })
    t.same(
      taken.map(([{ name, value, quality, monoMs }, urgent]) => [name, value, quality, monoMs, urgent]),
      [
        ['temp', 90, 'good', 5_000, false],
        ['alarm/hot', true, 'good', 5_000, true],
        ['alarm/hot/acknowledged', false, 'good', 5_000, true],
      ],
    )
    t.equal(intake.acknowledge('cold'), false)
    t.equal(intake.acknowledge('hot'), true)
    t.match(taken.at(-1), [{ name: 'alarm/hot/acknowledged', value: true }, true])
    refuse = true
    await intake.accept({ name: 'temp', value: 20 })
    await new Promise((resolve) => setImmediate(resolve))
    t.same(codes, ['FW_ALARM_RAISED', 'FW_ALARM_OVER', 'FW_ALARM_NOT_TAKEN'])
  },
)

void t.test('an alarm waits for no batch interval, and is sealed before everything else', async (t) => {
  const rig = await joinedRig()
  const reading = (name: string): Reading => ({
    name,
    value: true,
    quality: 'good',
    monoMs: rig.now,
    wallMs: 1.7e12,
    clock: 'unknown',
  })
  void rig.spool.spool.append(reading('alarm/hot'), true)
  await rig.turn(200, 50)
  t.equal(rig.gateway.readings.at(-1)?.name, 'alarm/hot', 'long before the second of a batch is over')
  // A window that has no room: batches wait.
  rig.window = 0
  await rig.read(3)
  await rig.turn(3_000)
  void rig.spool.spool.append(reading('alarm/cold'), true)
  await rig.turn(200, 50)
  await rig.read(3)
  const before = rig.gateway.readings.length
  rig.window = 1
  await rig.turn(50, 50)
  t.equal(rig.gateway.readings[before]?.name, 'alarm/cold')
  rig.window = 4_096
  await rig.turn(10_000)
  t.equal(rig.gateway.readings.length, before + 7)
  t.equal(rig.spool.spool.counters.held, 0)
})
