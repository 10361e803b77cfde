import { deepStrictEqual as deepEqual } from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import {
  MAX_JSON_DEPTH,
  MAX_KEY_BYTES,
  MAX_TEXT_BYTES,
  MAX_VALUES_PER_LINE,
} from '../../../agent/src/sources/constants.js'
import { csvFormat } from '../../../agent/src/sources/lines/csv.js'
import { jsonFormat } from '../../../agent/src/sources/lines/json.js'
import { isName, type LineFormat } from '../../../agent/src/sources/lines/line.js'
import { numberFormat } from '../../../agent/src/sources/lines/number.js'
import { pairsFormat } from '../../../agent/src/sources/lines/pairs.js'

const number = numberFormat({ reading: 'level', decimalComma: false })
const pairs = pairsFormat({ decimalComma: false })
const json = jsonFormat()

void t.test('a number line is one reading, in every way a device prints a number', (t) => {
  for (const [line, value] of [
    ['21.5', 21.5],
    ['  -3 ', -3],
    ['+0012.50', 12.5],
    ['.5', 0.5],
    ['7.', 7],
    ['1e3', 1_000],
    ['-1.5E-2', -0.015],
  ] as const) {
    t.same(number.parse(line), [['level', value]], line)
  }
  t.end()
})

void t.test('a line without a measurement is no reading and no fault', (t) => {
  for (const line of ['', '   ', 'nan', 'NaN', '-nan', 'inf', '-Infinity'])
    t.same(number.parse(line), [], line)
  t.same(pairs.parse('a=nan b=2 c='), [['b', 2]])
  t.same(json.parse('{"a":null,"b":2}'), [['b', 2]])
  t.end()
})

void t.test('a damaged number is refused, not guessed', (t) => {
  const lines = [
    '21.5 C',
    '2#.5',
    '0x1F',
    '1,5',
    '1.2.3',
    '--1',
    '1e',
    '1e999',
    '5 6',
    'ERR',
    '٣',
    '9'.repeat(41),
  ]
  for (const line of lines) t.equal(number.parse(line), 'not understood', line)
  t.end()
})

void t.test('a decimal comma is a number only where the configuration says so', (t) => {
  const comma = numberFormat({ reading: 'level', decimalComma: true })
  t.same(comma.parse('21,5'), [['level', 21.5]])
  t.same(comma.parse('21.5'), [['level', 21.5]])
  t.equal(comma.parse('1,2,3'), 'not understood')
  const commaPairs = pairsFormat({ decimalComma: true })
  t.same(commaPairs.parse('t=21,5; p=1013,2'), [
    ['t', 21.5],
    ['p', 1013.2],
  ])
  t.equal(commaPairs.parse('t=21,p=1013'), 'not understood')
  t.end()
})

void t.test(
  'pairs may be parted by blanks, commas, semicolons and tabs, and use a colon for the equals sign',
  (t) => {
    const expected = [
      ['t', 21.5],
      ['rh', 40],
    ]
    for (const line of [
      't=21.5 rh=40',
      't=21.5,rh=40',
      't=21.5;rh=40;',
      't = 21.5 , rh = 40',
      't:21.5\trh:40',
      '  t=21.5  ;; rh=40 ',
      't="21.5",rh=40',
    ]) {
      const values = pairs.parse(line)
      t.same(line.includes('"') ? [['t', '21.5'], expected[1]] : expected, values, line)
    }
    t.end()
  },
)

void t.test('pairs carry numbers, true and false, words, and quoted text', (t) => {
  t.same(pairs.parse('n=-1 on=true off=FALSE state=RUN mode=auto-2 text="two words, one = sign"'), [
    ['n', -1],
    ['on', true],
    ['off', false],
    ['state', 'RUN'],
    ['mode', 'auto-2'],
    ['text', 'two words, one = sign'],
  ])
  t.end()
})

void t.test('one damaged pair refuses the whole line', (t) => {
  for (const line of [
    't=21.5 rh',
    't=21.5 =40',
    't=21.5 rh=4#0',
    't=21.5 r"h=40',
    't==21.5',
    'a=b=c',
    't="open',
    't="21"x p=1',
    '1t=5',
    'a,b=1',
    `${'n'.repeat(MAX_KEY_BYTES + 1)}=1`,
    `t=${'w'.repeat(MAX_TEXT_BYTES + 1)}`,
  ]) {
    t.equal(pairs.parse(line), 'not understood', line.slice(0, 40))
  }
  t.end()
})

void t.test('a JSON object gives its members, nested ones with dots', (t) => {
  t.same(json.parse('{"rpm":1450,"on":true,"state":"RUN","motor":{"t":61.5,"phase":[1,2]},"out side":3}'), [
    ['rpm', 1450],
    ['on', true],
    ['state', 'RUN'],
    ['motor.t', 61.5],
    ['motor.phase.0', 1],
    ['motor.phase.1', 2],
    ['out side', 3],
  ])
  t.same(json.parse('{}'), [])
  t.end()
})

void t.test('JSON that is no object, or whose names or values cannot be readings, is refused', (t) => {
  const deep = (levels: number): string => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels)
  t.same(json.parse(deep(MAX_JSON_DEPTH)), [[Array(MAX_JSON_DEPTH).fill('a').join('.'), 1]])
  for (const line of [
    '[1]',
    '5',
    'null',
    '"x"',
    '{"a":1',
    '{"a":1e999}',
    '{"":1}',
    '{" a":1}',
    '{"a\\u0000":1}',
    '{"a":"\\u0007"}',
    '{"a":"\\ud800"}',
    '{"a.b":1,"a":{"b":2}}',
    deep(MAX_JSON_DEPTH + 1),
    '['.repeat(4_000),
    `{"a":"${'x'.repeat(MAX_TEXT_BYTES + 1)}"}`,
    `{"${'n'.repeat(MAX_KEY_BYTES + 1)}":1}`,
  ]) {
    t.equal(json.parse(line), 'not understood', line.slice(0, 40))
  }
  t.end()
})

void t.test('members of a JSON object named like parts of JavaScript are names like others', (t) => {
  t.same(json.parse('{"__proto__":1,"constructor":2,"toString":3}'), [
    ['__proto__', 1],
    ['constructor', 2],
    ['toString', 3],
  ])
  t.equal(({} as Record<string, unknown>)['1'], undefined)
  t.end()
})

void t.test('CSV reads its columns under the first line of names', (t) => {
  const csv = csvFormat({ separator: ',', decimalComma: false })
  t.equal(csv.parse('1,2,3'), 'not understood', 'no header yet')
  t.same(csv.parse('temp (°C), rpm ,state'), [])
  t.same(csv.parse('21.5,1450,RUN'), [
    ['temp (°C)', 21.5],
    ['rpm', 1450],
    ['state', 'RUN'],
  ])
  t.same(csv.parse('22,,"on, off"'), [
    ['temp (°C)', 22],
    ['state', 'on, off'],
  ])
  t.same(csv.parse('temp (°C), rpm ,state'), [], 'the header again')
  t.equal(csv.parse('22,1450'), 'not understood', 'a column is missing')
  t.equal(csv.parse('22,14#50,RUN'), 'not understood')
  t.equal(csv.parse('22,1450,"RUN'), 'not understood')
  t.same(csv.parse('22,1450,"say ""go"""'), [
    ['temp (°C)', 22],
    ['rpm', 1450],
    ['state', 'say "go"'],
  ])
  t.end()
})

void t.test('a CSV row of words never renames the columns; the first line after reopening may', (t) => {
  const csv = csvFormat({ separator: ';', decimalComma: true })
  t.same(csv.parse('pump;valve'), [])
  t.same(csv.parse('RUN;OPEN'), [
    ['pump', 'RUN'],
    ['valve', 'OPEN'],
  ])
  csv.reopened?.()
  t.same(csv.parse('1,5;2,5'), [
    ['pump', 1.5],
    ['valve', 2.5],
  ])
  csv.reopened?.()
  t.same(csv.parse('fan;door'), [])
  t.same(csv.parse('1;2'), [
    ['fan', 1],
    ['door', 2],
  ])
  t.end()
})

void t.test('a configured CSV header holds from the first line on and whatever the device says', (t) => {
  const csv = csvFormat({ separator: '\t', decimalComma: false, header: ['a', 'b'] })
  t.same(csv.parse('1\t2'), [
    ['a', 1],
    ['b', 2],
  ])
  csv.reopened?.()
  t.same(csv.parse('x\ty'), [
    ['a', 'x'],
    ['b', 'y'],
  ])
  t.same(csv.parse('a\tb'), [])
  t.end()
})

void t.test('a line may hold the limit of values and not one more', (t) => {
  const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `n${index}`)
  const formats: [string, (count: number) => ReturnType<LineFormat['parse']>][] = [
    [
      'pairs',
      (count) =>
        pairs.parse(
          names(count)
            .map((name) => `${name}=1`)
            .join(' '),
        ),
    ],
    [
      'json',
      (count) => json.parse(JSON.stringify(Object.fromEntries(names(count).map((name) => [name, 1])))),
    ],
    [
      'csv',
      (count) => {
        const csv = csvFormat({ separator: ',', decimalComma: false, header: names(count) })
        return csv.parse(
          names(count)
            .map(() => '1')
            .join(','),
        )
      },
    ],
  ]
  for (const [name, parse] of formats) {
    t.equal(parse(MAX_VALUES_PER_LINE).length, MAX_VALUES_PER_LINE, name)
    t.equal(parse(MAX_VALUES_PER_LINE + 1), 'too many values', name)
  }
  t.end()
})

void t.test('no line, however made, throws or gives a name or value that is no reading', (t) => {
  const noise = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: fc.constantFrom(...'ab1.-+e=:;, "{}[]\\tn\t'), maxLength: 300 }),
    fc.json().map((text) => `{"a":${text}}`),
    fc.array(fc.tuple(fc.string(), fc.string())).map((list) => list.map(([k, v]) => `${k}=${v}`).join(',')),
  )
  fc.assert(
    fc.property(fc.array(noise, { maxLength: 4 }), fc.boolean(), (lines, decimalComma) => {
      const formats: LineFormat[] = [
        numberFormat({ reading: 'n', decimalComma }),
        pairsFormat({ decimalComma }),
        jsonFormat(),
        csvFormat({ separator: decimalComma ? ';' : ',', decimalComma }),
      ]
      for (const format of formats) {
        for (const line of lines) {
          const values = format.parse(line)
          if (typeof values === 'string') continue
          if (values.length > MAX_VALUES_PER_LINE) return false
          for (const [name, value] of values) {
            if (!isName(name)) return false
            if (typeof value === 'number' && !Number.isFinite(value)) return false
            if (typeof value === 'string' && Buffer.byteLength(value) > MAX_TEXT_BYTES) return false
          }
        }
      }
      return true
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

void t.test('what a device prints comes back, for every finite number and every word', (t) => {
  const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,20}$/)
  const value = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => (Object.is(number, -0) ? 0 : number)),
    fc.boolean(),
    fc
      .stringMatching(/^[A-Z][A-Za-z0-9]{0,10}$/)
      .filter((word) => !/^(true|false|nan|inf|infinity)$/i.test(word)),
  )
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, minLength: 1, maxLength: 20 }),
      (list) => {
        const line = list.map(([key, member]) => `${key}=${member}`).join(' ')
        deepEqual(pairs.parse(line), list)
        deepEqual(
          json.parse(
            `{${list.map(([key, member]) => `${JSON.stringify(key)}:${JSON.stringify(member)}`).join()}}`,
          ),
          list,
        )
        const csv = csvFormat({ separator: ',', decimalComma: false, header: list.map(([key]) => key) })
        deepEqual(csv.parse(list.map(([, member]) => String(member)).join(',')), list)
      },
    ),
    { numRuns: 200 },
  )
  t.end()
})
