import assert from 'node:assert/strict'
import {
  concat,
  crypto,
  encodeCbor,
  KeyTree,
  ProtocolError,
  signGatewayCertificate,
  type AddressKey,
} from '@fieldwhisper/protocol'
import { Ledger, Meta, Turn, type GatewayIdentity } from '@fieldwhisper/gateway/core'
import { Agents } from '../../../gateway/dist/core/agents.js'
import { Invites } from '../../../gateway/dist/core/invites.js'
import { Prekeys } from '../../../gateway/dist/core/prekeys.js'
import { Sessions } from '../../../gateway/dist/core/sessions.js'
import { reserve } from '../../../gateway/dist/core/session.js'
import { TABLE } from '../../../gateway/dist/core/tables.js'
import { GatewayError } from '../../../gateway/dist/errors.js'
import { seededRandom } from '../../support/seeded-random.js'
import { valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { storeOf } from '../support.js'

const random = seededRandom(4)
const siteSeed = random(32)
const signingSeed = random(32)
const agreementSecret = random(32)
const site = crypto.signingKey(siteSeed)
const identity: GatewayIdentity = {
  siteName: 'works',
  siteSeed,
  signingSeed,
  agreementSecret,
  master: random(32),
  certificate: signGatewayCertificate(site, {
    number: 1,
    signingKey: crypto.signingKey(signingSeed).publicKey,
    agreementKey: crypto.agreementKey(agreementSecret).publicKey,
  }),
}

const agent = new Uint8Array(32).fill(1)
const stream = new Uint8Array(12).fill(2)
const sessionId = new Uint8Array(8).fill(3)
const tree = KeyTree.fromRoot(new Uint8Array(32).fill(5)).encode()
const seed = (value: number): Uint8Array => new Uint8Array(32).fill(value)
const oneTime = Uint8Array.of(1, 0, 0, 0, 1)
const signed = Uint8Array.of(0, 0, 0, 0, 1)

/** What a gateway with one agent and one session has on disk; the input takes the place of one value. */
const RECORDS = [
  { table: TABLE.meta, key: Buffer.from('counters'), value: encodeCbor([1, 2, 1, 2, 2, 3, 4, 0]) },
  {
    table: TABLE.agents,
    key: agent,
    value: encodeCbor([1, 'pump-7', 0, seed(9), 7, true, 1, 2, 100, 0, 1.7e12, 0]),
  },
  {
    table: TABLE.invites,
    key: Uint8Array.of(0x80, 0, 0, 7),
    value: encodeCbor([1, seed(8), 'pump-7', false, false, 1_000, 1, agent]),
  },
  {
    table: TABLE.prekeys,
    key: signed,
    value: encodeCbor([1, new Uint8Array(100), seed(1), new Uint8Array(64), seed(6), 1_000]),
  },
  {
    table: TABLE.prekeys,
    key: oneTime,
    value: encodeCbor([1, new Uint8Array(100), seed(1), new Uint8Array(64), null, 1_000]),
  },
  { table: TABLE.hellos, key: concat(signed, seed(4)), value: sessionId },
  {
    table: TABLE.sessions,
    key: sessionId,
    value: encodeCbor([
      1,
      agent,
      1,
      0,
      null,
      seed(10),
      seed(11),
      1_000,
      [seed(12), 1],
      true,
      null,
      [true, seed(1)],
    ]),
  },
  { table: TABLE.sessionUp, key: sessionId, value: tree },
  { table: TABLE.sessionDown, key: sessionId, value: concat(Uint8Array.of(0, 0, 0, 64), tree) },
  {
    table: TABLE.ledger,
    key: concat(agent, stream),
    value: encodeCbor([
      1,
      5,
      [
        [7, 9],
        [12, 20],
      ],
      30,
      false,
      1_000,
    ]),
  },
]

/** First byte: which record is the odd one. */
export const gatewayState: Target = {
  name: 'gateway-state',
  contract:
    'Registry, invites, prekeys, sessions and ledger start on it, leaving out what does not read, or refuse a newer release with GatewayError; started, they serve an agent and no count is below zero.',
  maxBytes: 4_096,
  maxMs: 200,
  testInputs: 1_500,
  seeds: () => RECORDS.map(({ value }, index) => concat(Uint8Array.of(index), value)),
  run(input) {
    const which = (input[0] ?? 0) % RECORDS.length
    const store = storeOf(
      RECORDS.map((record, index) => (index === which ? { ...record, value: input.subarray(1) } : record)),
    )
    const held = new Set<AddressKey>()
    const ports = {
      report: () => undefined,
      hold: (key: AddressKey) => void held.add(key),
      release: (key: AddressKey) => void held.delete(key),
    }
    const load = <T>(make: () => T): T | undefined => valueOrRefusal([GatewayError], make)
    const turn = new Turn(0, 2_000)
    const meta = load(() => new Meta(store, ports))
    if (!meta) return
    const agents = load(() => new Agents(store, site, meta, ports))
    for (const one of agents?.all() ?? []) {
      agents!.oweNotice(turn, [one])
      agents!.rename(turn, one, agents!.freeName(one.name))
    }
    const invites = load(() => new Invites(store, ports))
    invites?.expire(turn)
    invites?.create(turn, random, 'new', { replace: false, confirm: false })
    const ledger = load(() => new Ledger(store, ports))
    if (ledger) serve(ledger, turn)
    const prekeys = load(() => new Prekeys(store, identity, meta, ports))
    if (!prekeys) return
    const sessions = load(() => new Sessions(store, prekeys, meta, ports as never, 0))
    for (const session of sessions?.all() ?? []) {
      if (session.down.next < 65_536 - 3) {
        reserve(turn, session, 2)
        valueOrRefusal([ProtocolError], () => session.down.seal(new Uint8Array(4), random))
      }
      sessions!.confirm(turn, session)
      sessions!.hold(turn, session, undefined)
    }
    sessions?.expire(turn)
    // Everything that was changed encodes, and reads again.
    const written = turn.writes
    for (const { value } of written) assert.ok(value === null || value.length < 65_536)
  },
}

function serve(ledger: Ledger, turn: Turn): void {
  for (const number of [0, 6, 8, 11, 25, 2 ** 32 - 1]) {
    const seen = ledger.has(agent, stream, number)
    const receipt = ledger.receive(turn, agent, stream, number)
    assert.ok(receipt === 'refused' || (receipt === 'seen') === seen)
    if (receipt !== 'refused') assert.ok(ledger.has(agent, stream, number))
  }
  assert.ok(ledger.gap(turn, agent, stream, [{ from: 13, to: 40 }]) >= 0, 'missing batches below zero')
  assert.ok(ledger.declare(turn, agent, { stream, floor: 26, end: 45, closed: true }) >= 0)
  assert.ok(ledger.missing(agent) >= 0, 'missing batches below zero')
  const { through, ranges } = ledger.ack(agent, stream, 64)
  let last = through
  for (const { from, to } of ranges) {
    assert.ok(from > last && to > from, 'an acknowledgement that no agent takes')
    last = to
  }
}
