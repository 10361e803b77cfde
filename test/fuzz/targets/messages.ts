import { decodeDown, decodeUp, encodeMessages, ProtocolError } from '@fieldwhisper/protocol'
import { bounded, sameBytes, sameValue, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { golden } from '../support.js'

const MAX_CONTENT_BYTES = 15_870

function messages(name: string, decode: typeof decodeUp | typeof decodeDown): Target {
  return {
    name,
    contract:
      'Messages that encode and decode to themselves, or ProtocolError; at most 64 bytes held for each byte.',
    maxBytes: MAX_CONTENT_BYTES,
    testInputs: 4_000,
    seeds: () => golden('messages', 'content'),
    dictionary: [
      Uint8Array.of(1),
      Uint8Array.of(2),
      Uint8Array.of(3),
      Uint8Array.of(16),
      Uint8Array.of(17),
      Uint8Array.of(18),
      Uint8Array.of(19),
      Uint8Array.of(20),
      Uint8Array.of(21),
    ],
    run(input) {
      const value = valueOrRefusal([ProtocolError], () => decode(input))
      if (value === undefined) return
      bounded(value, input.length, 64)
      const once = valueOrRefusal([ProtocolError], () => encodeMessages(value))
      if (once === undefined) return
      const again = decode(once)
      sameValue(again, value)
      sameBytes(encodeMessages(again), once, 'the second encoding')
    },
  }
}

export const messagesUp = messages('messages-up', decodeUp)
export const messagesDown = messages('messages-down', decodeDown)
