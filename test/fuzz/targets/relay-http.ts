import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tokenCheck } from '@fieldwhisper/relay'
import { httpHandler } from '../../../relay/dist/server/http.js'
import type { Target } from '../engine/target.js'
import { utf8 } from '../support.js'

const SLOT = '0123456789abcdef'.repeat(2)
const TOKEN = 'a-token-of-a-relay-1'
const METHODS = ['GET', 'HEAD', 'POST', 'OPTIONS']
const STATUSES = [200, 404, 405, 426, 429]

/** First byte: the method; the rest: the path, and what an Authorization header says. */
export const relayHttp: Target = {
  name: 'relay-http',
  contract:
    'One answer of a known status for any path; only the slot asked for is read, and only the token is a token.',
  maxBytes: 8_192,
  text: true,
  testInputs: 6_000,
  seeds: () => [
    utf8('0/healthz'),
    utf8(`0/directory/${SLOT}`),
    utf8('1/v1?x=1'),
    utf8('2/'),
    utf8(`0Bearer ${TOKEN}`),
  ],
  dictionary: ['/healthz', '/directory/', '/v1', SLOT, '?', '%2e%2e/', 'Bearer ', TOKEN, '\r\n', '\0'].map(
    utf8,
  ),
  run(input) {
    const text = Buffer.from(input).toString('latin1')
    const rest = text.slice(1)
    let answers = 0
    let status = 0
    const asked: string[] = []
    const handler = httpHandler({
      health: () => ({ ok: true, version: '1', mailboxes: 0, packets: 0, bytes: 0 }),
      lookup: (slot) => {
        asked.push(Buffer.from(slot).toString('hex'))
        return Buffer.from(slot).toString('hex') === SLOT ? new Uint8Array(8) : undefined
      },
      source: () => undefined,
      nowMs: () => 0,
    })
    const response = {
      writeHead: (code: number) => void (status = code),
      end: () => void answers++,
    }
    const method = METHODS[(input[0] ?? 0) % METHODS.length]!
    handler({ method, url: rest } as IncomingMessage, response as unknown as ServerResponse)
    assert.equal(answers, 1)
    assert.ok(STATUSES.includes(status))
    for (const slot of asked) assert.ok(rest.toLowerCase().startsWith(`/directory/${slot}`))
    // RFC 9110: the name of the scheme has no case.
    const isToken = /^bearer /i.test(rest) && rest.slice(7) === TOKEN
    assert.equal(tokenCheck(TOKEN)(rest), isToken)
  },
}
