import { encodeMessages, type Message } from '@fieldwhisper/protocol'
import { BODIES, writeMessages } from '../reference/messages.js'
import { chapter } from '../support/chapter.js'
import { fixed } from '../support/inputs.js'
import * as world from '../support/world.js'

const MAX_TIME = 253_402_300_799_000
const streams = ['one', 'two', 'three'].map((name) => fixed(`stream ${name}`, 12))
const relays = [
  { url: 'ws://10.0.0.2:24780' },
  { url: 'wss://relay.example', token: 't', fingerprint: '0f'.repeat(32) },
]
const doorbell = { epoch: 5, secret: fixed('doorbell secret') }

const messages: readonly {
  readonly title: string
  readonly input: { readonly messages: readonly Message[] }
}[] = [
  { title: 'no message', input: { messages: [] } },
  { title: 'DATA with a batch', input: { messages: [world.data] } },
  {
    title: 'DATA with everything but a batch',
    input: {
      messages: [
        {
          kind: 'data',
          streams: streams.map((stream, i) => ({ stream, floor: i, end: i + 2 ** 16, closed: i > 0 })),
          ready: true,
          oldestSession: world.continued.id,
          downThrough: 2 ** 32 - 1,
          stampMs: 0.5,
          clock: { bootId: fixed('boot', 8), offsetMs: -1_760_000_000_000.25, errorMs: 20 },
        },
      ],
    },
  },
  {
    title: 'GAP of ranges, uncounted and counted',
    input: {
      messages: [
        {
          kind: 'gap',
          cause: 'full',
          what: {
            stream: streams[0]!,
            ranges: [
              { from: 0, to: 1 },
              { from: 23, to: 24 },
              { from: 255, to: 65_536 },
            ],
          },
        },
        { kind: 'gap', cause: 'age', readings: 1_000, what: { stream: streams[1]!, ranges: [] } },
      ],
    },
  },
  {
    title: 'GAP of all earlier streams',
    input: { messages: [{ kind: 'gap', cause: 'lost', what: { startsBefore: 9 } }] },
  },
  {
    title: 'ACK with nothing',
    input: { messages: [{ kind: 'ack', streams: [], startsBefore: 0, givenUpBelow: 0 }] },
  },
  {
    title: 'ACK with everything',
    input: {
      messages: [
        {
          kind: 'ack',
          streams: [
            { stream: streams[0]!, through: 2 ** 32 - 1, ranges: [] },
            {
              stream: streams[1]!,
              through: 7,
              ranges: [
                { from: 9, to: 10 },
                { from: 12, to: 300 },
              ],
            },
          ],
          startsBefore: 3,
          givenUpBelow: 65_536,
          echo: { stampMs: 120_300, delayMs: 12 },
          wallMs: 1_760_000_000_500,
          hold: 'clone',
        },
      ],
    },
  },
  {
    title: 'WELCOME',
    input: {
      messages: [
        {
          kind: 'welcome',
          k: world.K,
          certificate: world.agentCert,
          doorbell,
          relays,
          directorySlot: fixed('slot', 16),
          siteRevision: 12,
        },
      ],
    },
  },
  {
    title: 'PREKEY',
    input: { messages: [{ kind: 'prekey', oneTime: world.oneTime.record, newest: world.signed.record }] },
  },
  { title: 'REFUSED', input: { messages: [{ kind: 'refused', code: 'name-taken' }] } },
  {
    title: 'NOTICE without and with a certificate',
    input: {
      messages: [
        { kind: 'notice', id: 1, siteRevision: 13, doorbell, relays: [] },
        { kind: 'notice', id: 2, siteRevision: 14, doorbell, relays, certificate: world.agentCert },
      ],
    },
  },
  {
    title: 'ACK that ends the repeating of a REPLY',
    input: {
      messages: [{ kind: 'ack', streams: [], startsBefore: 0, givenUpBelow: 0, replyThrough: 2 ** 32 - 1 }],
    },
  },
  {
    title: 'COMMAND without and with arguments',
    input: {
      messages: [
        { kind: 'command', id: 3, stampMs: 120_300, ttlMs: 30_000, name: 'ping', args: [] },
        {
          kind: 'command',
          id: 2 ** 32 - 1,
          stampMs: 0.25,
          ttlMs: 600_000,
          name: 'n'.repeat(64),
          args: [
            ['output', 'valve'],
            ['value', -12.5],
            ['count', 70_000],
            ['on', true],
            ['ü'.repeat(64), null],
          ],
        },
      ],
    },
  },
  {
    title: 'REPLY of every status',
    input: {
      messages: [
        { kind: 'reply', id: 3, status: 'done', code: 'FW_COMMAND_DONE', text: '', result: [['temp', 21.5]] },
        ...(['refused', 'failed', 'expired', 'unknown'] as const).map((status, i) => ({
          kind: 'reply' as const,
          id: 4 + i,
          status,
          code: 'C'.repeat(64),
          text: 'ü'.repeat(128),
          result: [],
        })),
      ],
    },
  },
  {
    title: 'times at their limits',
    input: {
      messages: [
        {
          kind: 'ack',
          streams: [],
          startsBefore: 0,
          givenUpBelow: 0,
          echo: { stampMs: 0, delayMs: MAX_TIME },
          wallMs: -62_135_596_800_000,
        },
      ],
    },
  },
]

export const messageChapter = chapter<{ readonly messages: readonly Message[] }>({
  name: 'messages',
  sections: '6',
  cases: messages,
  product: ({ messages }) => ({ content: encodeMessages(messages) }),
  reference: ({ messages }) => ({
    content: writeMessages(
      messages.map((message) => ({ kind: message.kind, body: BODIES[message.kind](message as never) })),
    ),
  }),
})
