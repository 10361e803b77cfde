import { GatewayError } from '../../../gateway/dist/errors.js'
import { decodePayload, encodePayload } from '../../../gateway/dist/sparkplug/codec.js'
import { bounded, sameBytes, sameValue, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { utf8 } from '../support.js'

/** What a host writes to an edge node: whoever may publish below `spBv1.0` reaches it. */
export const sparkplugPayload: Target = {
  name: 'sparkplug-payload',
  contract: 'A payload of at most 100 metrics that encodes and decodes to itself, or GatewayError.',
  maxBytes: 4_096,
  testInputs: 5_000,
  seeds: () => [
    encodePayload({
      timestamp: 1_800_000_000_000,
      metrics: [{ name: 'Node Control/Rebirth', datatype: 11, value: { kind: 'boolean', value: true } }],
    }),
    encodePayload({
      seq: 255,
      metrics: [
        { alias: 1, timestamp: 2, historical: true, value: { kind: 'double', value: 0.1 } },
        { alias: 2, value: { kind: 'long', value: 2n ** 64n - 1n } },
        { alias: 3, value: { kind: 'string', value: 'ä' } },
        { alias: 4, value: { kind: 'bytes', value: Uint8Array.of(0) } },
        { alias: 5, value: { kind: 'null' } },
        { alias: 6, value: { kind: 'float', value: 1 } },
        { alias: 7, historical: false, value: { kind: 'int', value: 0xffff_ffff } },
      ],
    }),
  ],
  dictionary: ['\x12\x00', '\x0a\x00', '\x7a\x00', '\x0b', '\x0c', '\x69', '\x65', '\x4a\x00', '\ufeff'].map(
    utf8,
  ),
  run(input) {
    const value = valueOrRefusal([GatewayError], () => decodePayload(input))
    if (value === undefined) return
    // Two bytes make a metric.
    bounded(value, input.length, 64)
    const encoded = encodePayload(value)
    const again = decodePayload(encoded)
    sameValue(again, value)
    sameBytes(encodePayload(again), encoded, 'the second encoding')
  },
}
