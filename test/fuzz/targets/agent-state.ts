import * as schemas from '../../../agent/dist/state/schemas.js'
import { bounded } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { utf8 } from '../support.js'

const hex = (bytes: number): string => 'ab'.repeat(bytes)
const SAMPLES = [
  { version: 1, seed: hex(32), inviteId: 7 },
  {
    version: 1,
    k: hex(32),
    certificate: hex(100),
    siteKey: hex(32),
    fingerprint: hex(16),
    directorySlot: hex(16),
  },
  {
    version: 1,
    doorbell: { epoch: 1, secret: hex(32) },
    relays: [{ url: 'ws://a:1', token: 't' }],
    siteRevision: 1,
    record: hex(40),
    downThrough: 0,
  },
  {
    version: 1,
    base: { id: hex(8), resumption: hex(32), oneTime: hex(30) },
    mailboxes: [{ up: hex(32), down: hex(32), answered: true }],
    silence: { silentMs: 0, nextMs: 1, step: 'none' },
  },
  {
    version: 1,
    fingerprint: hex(16),
    directorySlot: hex(16),
    id: 2_147_483_655,
    secret: hex(32),
    relays: [],
  },
  [{ address: '10.0.0.1', port: 24_708 }],
]

export const agentState: Target = {
  name: 'agent-state',
  contract: 'JSON that a schema of the agent takes or refuses; only JSON.parse throws, and only SyntaxError.',
  maxBytes: 4_096,
  text: true,
  testInputs: 2_500,
  seeds: () => SAMPLES.map((sample) => utf8(JSON.stringify(sample))),
  dictionary: [
    '"',
    ':',
    ',',
    '{',
    '}',
    '[',
    ']',
    'null',
    '1e400',
    '-0',
    '"__proto__":',
    '\\u0000',
    hex(8),
  ].map(utf8),
  run(input) {
    let value: unknown
    try {
      value = JSON.parse(Buffer.from(input).toString())
    } catch (error) {
      if (error instanceof SyntaxError) return
      throw error
    }
    for (const schema of Object.values(schemas)) {
      const result = schema.safeParse(value)
      if (result.success) bounded(result.data, input.length, 64, 16_384)
    }
  },
}
