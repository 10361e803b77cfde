import { decodeCbor, encodeCbor, ProtocolError } from '@fieldwhisper/protocol'
import { bounded, sameBytes, sameValue, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { golden } from '../support.js'

export const cbor: Target = {
  name: 'cbor',
  contract:
    'A value that encodes and decodes to itself, or ProtocolError; at most 48 bytes held for each byte.',
  maxBytes: 16_384,
  testInputs: 6_000,
  seeds: () => [...golden('batches', 'batch'), Uint8Array.of(0x82, 0xf9, 0x3c, 0x00, 0x61, 0x61)],
  run(input) {
    const value = valueOrRefusal([ProtocolError], () => decodeCbor(input))
    if (value === undefined) return
    bounded(value, input.length, 48)
    const once = encodeCbor(value)
    const again = decodeCbor(once)
    sameValue(again, value)
    sameBytes(encodeCbor(again), once, 'the second encoding')
  },
}
