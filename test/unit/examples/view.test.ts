import t from 'tap'
import type { Sensor, View } from '@fieldwhisper/examples/dist/start/model.js'
import { COLOURED, PLAIN } from '@fieldwhisper/examples/dist/start/style.js'
import { renderView } from '@fieldwhisper/examples/dist/start/view.js'
import { width } from '@fieldwhisper/examples/dist/start/width.js'

const sensors: Sensor[] = [
  { name: 'cpu_load', unit: '/100', value: 12.5, path: 'lan', ageMs: 1_200 },
  { name: 'memory_used', unit: 'B', value: 8_123_456_789, path: 'relay', ageMs: 1_200 },
  { name: 'uptime', unit: 's', value: 86_401, ageMs: 900 },
]

const view: View = {
  site: 'home',
  folder: './.fieldwhisper',
  upMs: 125_000,
  programs: [
    { name: 'relay', state: 'running', detail: '127.0.0.1:24780, holds 0' },
    { name: 'gateway', state: 'running', detail: 'healthy' },
    { name: 'agent', state: 'restarting', detail: '' },
  ],
  sensors,
  counts: { sealed: 135, acknowledged: 134, held: 12, lost: 0, lastPath: 'relay' },
  mqtt: {
    host: '127.0.0.1',
    port: 1_883,
    user: 'fieldwhisper',
    password: 'abcdefghijklmnopqrstuvwxyz012345',
    topic: 'fieldwhisper/home/+/+',
    connected: true,
  },
  warning: { atMs: 0, program: 'gateway', text: 'FW_MQTT_FAILED The broker went away.' },
}

const picture = (columns: number, rows: number, of: View = view): string[] =>
  renderView(of, { columns, rows, style: PLAIN })

void t.test('everything that the main job names is on the screen', (t) => {
  const text = picture(100, 40).join('\n')
  t.match(text, /^Fieldwhisper {2}site home in \.\/\.fieldwhisper {2}2 min 5 s +Ctrl-C ends it$/m)
  t.match(text, /^ {2}cpu_load +12\.5 % +lan +1 s$/m, 'value, unit, path and age of a sensor')
  t.match(text, /^ {2}memory_used +7\.6 GiB +relay +1 s$/m)
  t.match(text, /^ {2}uptime +1 d +waits +0 s$/m, 'a value that has not arrived says so')
  t.match(text, /sealed 135 {3}acknowledged 134 {3}in the spool 12 {3}lost 0 {3}last copy relay/)
  t.match(text, /relay 127\.0\.0\.1:24780, holds 0 {3}gateway healthy {3}agent restarting/)
  t.match(
    text,
    /MQTT mqtt:\/\/127\.0\.0\.1:1883 {3}user fieldwhisper {3}password abcdefghijklmnopqrstuvwxyz012345/,
  )
  t.match(text, /gateway: FW_MQTT_FAILED The broker went away\./)
  t.end()
})

void t.test('the picture is never wider or higher than the terminal', (t) => {
  const many = Array.from({ length: 60 }, (_, i): Sensor => ({
    name: i % 2 === 0 ? `网络传感器_${i}` : `a_sensor_with_quite_a_long_name_indeed_${i}`,
    value: 'RUNNING in a mode with a long name',
    path: 'lan',
    ageMs: i * 10_000,
  }))
  for (const columns of [24, 40, 61, 80, 200]) {
    for (const rows of [3, 8, 16, 24, 100]) {
      const lines = picture(columns, rows, {
        ...view,
        step: 'waiting for something that takes long',
        sensors: many,
      })
      const used = lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(width(line) / columns)), 0)
      t.ok(used < rows, `${used} rows of ${rows} at ${columns} columns`)
      if (columns > 45)
        t.ok(
          lines.every((line) => width(line) < columns),
          `no line fills ${columns} columns`,
        )
    }
  }
  t.end()
})

void t.test('sensors that do not fit are counted', (t) => {
  const many = Array.from({ length: 30 }, (_, i): Sensor => ({
    name: `s${i}`,
    value: i,
    path: 'lan',
    ageMs: 0,
  }))
  const lines = picture(80, 24, { ...view, sensors: many })
  const shown = lines.filter((line) => /^ {2}s\d+ /.test(line)).length
  t.ok(shown >= 5, `${shown} sensors are shown`)
  t.ok(lines.includes(`  and ${30 - shown} more in a higher window`))
  t.notMatch(picture(80, 60, { ...view, sensors: many }).join('\n'), /more in a higher window/)
  t.end()
})

void t.test('a terminal of 80 columns and 24 rows shows the sensors of an ordinary machine', (t) => {
  const many = Array.from({ length: 13 }, (_, i): Sensor => ({
    name: `s${i}`,
    value: i,
    path: 'lan',
    ageMs: 0,
  }))
  const { warning: _warning, ...calm } = view
  t.notMatch(picture(80, 24, { ...calm, sensors: many }).join('\n'), /more in a higher window/)
  t.end()
})

void t.test('a narrow terminal loses the ages first and keeps the paths', (t) => {
  const lines = picture(40, 40)
  t.match(lines.join('\n'), /^ {2}cpu_load +12\.5 % +lan$/m)
  t.end()
})

void t.test('the subscribe command is whole at every width, joined by backslashes', (t) => {
  const whole =
    'mosquitto_sub -h 127.0.0.1 -p 1883 -u fieldwhisper -P abcdefghijklmnopqrstuvwxyz012345 -t fieldwhisper/home/+/+ -v'
  for (const columns of [40, 60, 80, 120, 200]) {
    const lines = picture(columns, 60)
    const from = lines.findIndex((line) => line.includes('mosquitto_sub'))
    const command: string[] = []
    for (const line of lines.slice(from)) {
      command.push(line.replace(/ \\$/, '').trim())
      if (!line.endsWith('\\')) break
    }
    t.equal(command.join(' '), whole, `at ${columns} columns`)
  }
  t.end()
})

void t.test('before the first status there is a step and no empty table', (t) => {
  const lines = picture(80, 24, {
    site: 'home',
    folder: '.',
    upMs: 0,
    programs: [],
    sensors: [],
    step: 'starting the relay',
  })
  t.match(
    lines,
    ['Fieldwhisper', '... starting the relay', '', '  no reading yet'].map(
      (line) => new RegExp(`^${line.replaceAll('.', '\\.')}`),
    ),
  )
  t.end()
})

void t.test('losses and a missing broker cannot be overlooked, in colour or without', (t) => {
  const counts = { ...view.counts!, lost: 3 }
  const trouble = { ...view, counts, mqtt: { ...view.mqtt!, connected: false } }
  const coloured = renderView(trouble, { columns: 100, rows: 40, style: COLOURED }).join('\n')
  t.match(coloured, /\u001b\[31mlost 3\u001b\[39m/)
  t.match(coloured, /\u001b\[33m not connected\u001b\[39m/)
  t.match(coloured, /\u001b\[32mlan\u001b\[39m/)
  const plain = picture(100, 40, trouble).join('\n')
  t.match(plain, /lost 3 [^]*1883 not connected/)
  t.notMatch(plain, /\u001b/, 'no escape without colour')
  t.end()
})
