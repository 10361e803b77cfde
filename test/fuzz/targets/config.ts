import assert from 'node:assert/strict'
import { HostError, parseConfig } from '@fieldwhisper/host'
import { agentConfigSchema } from '@fieldwhisper/agent'
import { relayProgramSchema } from '@fieldwhisper/relay'
import { gatewayConfigSchema } from '../../../gateway/dist/config/index.js'
import { read } from '../../support/repository.js'
import { bounded, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { utf8 } from '../support.js'

const SCHEMAS = { agent: agentConfigSchema, gateway: gatewayConfigSchema, relay: relayProgramSchema }

const SAMPLES: Record<keyof typeof SCHEMAS, string> = {
  agent: `name: pump-7
sources:
  - {type: serial, path: /dev/ttyUSB0, format: csv, header: [a, b], separator: tab}
  - {type: simulate, name: s2, rate: 5, readings: [{name: x, waveform: sine, min: 0, max: 2}]}
lan: {peers: ["10.0.7.2:24708"], interfaces: [eth0], listen: "[::]:24708", offer: all}
relays: [{url: "wss://r.example:24780", token: abc, fingerprint: ${'ab'.repeat(32)}}]
batch: {interval: 500ms, max_readings: 10}
spool: {max_bytes: 2MiB, on_full: block}
log: {level: debug}
`,
  gateway: `site: works
mqtt: {url: "mqtts://b:8883", version: 5, user: u, password_file: p, tls: {ca: c}, topic: "f/{agent}/{name}"}
relay: {enabled: true, urls: ["ws://10.0.0.1:24780"]}
outbox: {max_bytes: 3MiB, keep_sent: 1h}
`,
  relay: `listen: 0.0.0.0:24780
limits: {mailboxes: 10}
`,
}

const WORDS = [
  '&a ',
  '*a',
  '<<: ',
  '- ',
  ': ',
  '{',
  '}',
  '[',
  ']',
  '? ',
  '!!binary ',
  '---\n',
  '"',
  "'",
  '|\n',
  '\n  ',
  '__proto__: ',
  'null',
  '1e999',
  '0x7fffffffffffffff',
  '\t',
  '#',
  '%YAML 1.1\n',
  'toString: ',
  '1h',
  '9999TiB',
]

function config(program: keyof typeof SCHEMAS): Target {
  return {
    name: `config-${program}`,
    contract:
      'A configuration, or HostError with places and reasons; within the time that a person would not notice.',
    maxBytes: 4_096,
    maxMs: 500,
    text: true,
    testInputs: 250,
    seeds: () => [
      utf8(SAMPLES[program]),
      utf8(''),
      utf8('a: &a [1]\nb: [*a, *a]\n'),
      ...(program === 'relay' ? [] : [utf8(read(`docs/schema/${program}.json`).slice(0, 2_000))]),
    ],
    dictionary: WORDS.map(utf8),
    run(input) {
      const text = Buffer.from(input).toString()
      const value = valueOrRefusal([HostError], () => parseConfig(text, SCHEMAS[program] as never, 'x.yaml'))
      if (value === undefined) return
      assert.equal(typeof value, 'object')
      bounded(value, input.length, 64, 16_384)
    },
  }
}

export const configAgent = config('agent')
export const configGateway = config('gateway')
export const configRelay = config('relay')
