import { ed25519 } from '@noble/curves/ed25519.js'
import { sha512 } from '@noble/hashes/sha2.js'
import {
  concat,
  fromHex,
  hex,
  native,
  portable,
  ProtocolError,
  type Primitives,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const some = fc.uint8Array({ maxLength: 400 })

function agree<T>(call: (primitives: Primitives) => T, show: (value: T) => string): T {
  const [a, b] = [call(native), call(portable)]
  if (show(a) !== show(b)) throw new Error(`native ${show(a)}, portable ${show(b)}`)
  return a
}

const agreeBytes = (call: (primitives: Primitives) => Uint8Array) => agree(call, hex)

const { Point } = ed25519
const ORDER = Point.Fn.ORDER
const TORSION = Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')
const message = new TextEncoder().encode('a message')

const P_MINUS_1 = 'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'
const P = `ed${P_MINUS_1.slice(2)}`
const P_PLUS_1 = `ee${P_MINUS_1.slice(2)}`
const SMALL_ORDER_U = [
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  P_MINUS_1,
  P,
  P_PLUS_1,
].flatMap((u) => [u, u.slice(0, 62) + (parseInt(u.slice(62), 16) | 0x80).toString(16)])

void t.test('native and portable agree on hashes, MACs and sealed bytes of random inputs', (t) => {
  fc.assert(
    fc.property(some, bytes(32), bytes(12), some, (data, key, nonce, aad) => {
      agreeBytes((c) => c.sha256(data, aad))
      agreeBytes((c) => c.hmacSha256(key, data, aad))
      agreeBytes((c) => c.hmacSha512(data, aad))
      const sealed = agreeBytes((c) => c.seal(key, nonce, aad, data))
      agreeBytes((c) => c.open(key, nonce, aad, sealed) ?? fail())
    }),
  )
  t.end()
})

void t.test(
  'native and portable agree on X25519 with any point, be it of small order or not canonical',
  (t) => {
    const point = fc.oneof(bytes(32), fc.constantFrom(...SMALL_ORDER_U.map(fromHex)))
    fc.assert(
      fc.property(bytes(32), point, (secret, u) => {
        agreeBytes((c) => c.agreementKey(secret).publicKey)
        agree(
          (c) => outcome(() => hex(c.agreementKey(secret).agree(u))),
          (text) => text,
        )
      }),
      { numRuns: 50 },
    )
    t.end()
  },
)

void t.test('X25519 with a point of small order is refused with FW_KEY_INVALID and gives no zeros', (t) => {
  for (const u of SMALL_ORDER_U) {
    for (const primitives of [native, portable]) {
      const key = primitives.agreementKey(new Uint8Array(32).fill(9))
      t.throws(() => key.agree(fromHex(u)), { name: 'ProtocolError', code: 'FW_KEY_INVALID' }, u)
    }
  }
  for (const length of [0, 31, 33]) {
    for (const primitives of [native, portable]) {
      const key = primitives.agreementKey(new Uint8Array(32).fill(9))
      t.throws(() => key.agree(new Uint8Array(length)), { name: 'ProtocolError', code: 'FW_KEY_INVALID' })
    }
  }
  t.end()
})

void t.test('native and portable agree on Ed25519 with random keys, messages and altered signatures', (t) => {
  fc.assert(
    fc.property(bytes(32), some, fc.nat(63), fc.nat(7), (seed, message, at, bit) => {
      const publicKey = agreeBytes((c) => c.signingKey(seed).publicKey)
      const signature = new Uint8Array(agreeBytes((c) => c.signingKey(seed).sign(message)))
      if (!agree((c) => c.verify(publicKey, message, signature), String)) fail()
      signature[at]! ^= 1 << bit
      if (agree((c) => c.verify(publicKey, message, signature), String)) fail()
    }),
    { numRuns: 40 },
  )
  t.end()
})

void t.test('an Ed25519 key of small order or not in canonical form verifies nothing', (t) => {
  const keys = [
    ...Array.from({ length: 8 }, (_, i) => TORSION.multiplyUnsafe(BigInt(i))).map((point) => point.toBytes()),
    ...[P, P_PLUS_1, 'ff'.repeat(31) + '7f', `01${'00'.repeat(30)}80`, P_MINUS_1.slice(0, 62) + 'ff'].map(
      fromHex,
    ),
    new Uint8Array(31),
    new Uint8Array(0),
  ]
  // With R and A of small order and s = 0 the equation holds for one message in eight at least.
  const signatures = Array.from({ length: 8 }, (_, i) =>
    concat(TORSION.multiplyUnsafe(BigInt(i)).toBytes(), new Uint8Array(32)),
  )
  for (const key of keys) {
    for (const signature of signatures) {
      for (let i = 0; i < 8; i++) {
        const text = Uint8Array.of(i)
        t.notOk(agree((c) => c.verify(key, text, signature), String))
      }
    }
  }
  t.end()
})

void t.test(
  'a signature with s above the group order is refused, so nobody can make a second one of one',
  (t) => {
    const key = native.signingKey(new Uint8Array(32).fill(3))
    const signature = key.sign(message)
    const s = littleEndian(signature.subarray(32)) + ORDER
    const second = concat(signature.subarray(0, 32), toLittleEndian(s))
    t.ok(agree((c) => c.verify(key.publicKey, message, signature), String))
    t.notOk(agree((c) => c.verify(key.publicKey, message, second), String))
    t.notOk(agree((c) => c.verify(key.publicKey, message, signature.subarray(0, 63)), String))
    t.notOk(agree((c) => c.verify(key.publicKey, message, concat(signature, Uint8Array.of(0))), String))
    t.end()
  },
)

void t.test('crafted signatures with a part of small order get the same answer from both', (t) => {
  const a = 0x1234567890abcdefn
  const r = 0xfedcba9876543210n
  const answers = { key: new Set<boolean>(), commitment: new Set<boolean>() }
  for (let i = 0; i < 32; i++) {
    const text = Uint8Array.of(i)
    const mixedKey = Point.BASE.multiply(a).add(TORSION).toBytes()
    const cleanKey = Point.BASE.multiply(a).toBytes()
    const R = Point.BASE.multiply(r).toBytes()
    const mixedR = Point.BASE.multiply(r).add(TORSION).toBytes()
    const forKey = concat(R, toLittleEndian((r + challenge(R, mixedKey, text) * a) % ORDER))
    const forR = concat(mixedR, toLittleEndian((r + challenge(mixedR, cleanKey, text) * a) % ORDER))
    t.ok(ed25519.verify(forKey, text, mixedKey, { zip215: false }), 'with the cofactor it would verify')
    t.ok(ed25519.verify(forR, text, cleanKey, { zip215: false }), 'with the cofactor it would verify')
    answers.key.add(agree((c) => c.verify(mixedKey, text, forKey), String))
    answers.commitment.add(agree((c) => c.verify(cleanKey, text, forR), String))
  }
  t.same([...answers.key].sort(), [false, true], 'verifies where the challenge is a multiple of 8')
  t.same([...answers.commitment], [false])
  t.end()
})

function challenge(R: Uint8Array, key: Uint8Array, text: Uint8Array): bigint {
  return littleEndian(sha512(concat(R, key, text))) % ORDER
}

function littleEndian(value: Uint8Array): bigint {
  return BigInt(`0x${hex(Uint8Array.from(value).reverse())}`)
}

function toLittleEndian(value: bigint): Uint8Array {
  return fromHex(value.toString(16).padStart(64, '0')).reverse()
}

function outcome(call: () => string): string {
  try {
    return call()
  } catch (error) {
    if (error instanceof ProtocolError) return error.code
    throw error
  }
}

function fail(): never {
  throw new Error('unexpected')
}
