import { shake128 } from '@noble/hashes/sha3.js'
import { hex, native, portable, ProtocolError, type Kem } from '@fieldwhisper/protocol'
import fc from 'fast-check'
import * as nodeCrypto from 'node:crypto'
import t from 'tap'

/*
 * FIPS 203 has no vectors of its own. The accumulated test of Go's crypto/mlkem (mlkem_test.go, TestAccumulated, 100 rounds) has:
 * key generation, encapsulation with given coins, decapsulation, and decapsulation of a ciphertext that belongs to nothing, all
 * hashed into one value that Go, PQClean and others agree on.
 */
const ROUNDS = 100
const ACCUMULATED = '1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415'

const implementations = { native: native.kem, portable: portable.kem }
const nodeHasIt = 'encapsulate' in nodeCrypto

for (const [name, kem] of Object.entries(implementations)) {
  void t.test(`${name}: ML-KEM-768 gives the accumulated result of 100 rounds`, (t) => {
    const stream = shake128.create()
    const sum = shake128.create()
    for (let i = 0; i < ROUNDS; i++) {
      const seed = stream.xof(64)
      const publicKey = kem.publicKey(seed)
      const { ciphertext, secret } = kem.encapsulate(publicKey, stream.xof(32))
      sum.update(publicKey).update(ciphertext).update(secret)
      if (hex(kem.decapsulate(seed, ciphertext)) !== hex(secret))
        t.fail('decapsulation gives the same secret')
      sum.update(kem.decapsulate(seed, stream.xof(1_088)))
    }
    t.equal(hex(sum.xof(32)), ACCUMULATED)
    t.end()
  })

  void t.test(`${name}: every coefficient of an ML-KEM key that is not below 3329 is refused`, (t) => {
    const publicKey = kem.publicKey(new Uint8Array(64).fill(1))
    const coins = new Uint8Array(32)
    const accepted: string[] = []
    for (let index = 0; index < 768; index++) {
      for (const value of [3_329, 4_095]) {
        try {
          kem.encapsulate(withCoefficient(publicKey, index, value), coins)
          accepted.push(`${index}: ${value}`)
        } catch (error) {
          if (!(error instanceof ProtocolError && error.code === 'FW_KEY_INVALID')) throw error
        }
      }
    }
    t.same(accepted, [])
    t.doesNotThrow(() => kem.encapsulate(withCoefficient(publicKey, 767, 3_328), coins))
    t.end()
  })

  void t.test(`${name}: an ML-KEM input of a wrong length is refused`, (t) => {
    const seed = new Uint8Array(64)
    const publicKey = kem.publicKey(seed)
    const refused = { name: 'ProtocolError', code: 'FW_MALFORMED' }
    for (const length of [0, 1_183, 1_185]) {
      t.throws(() => kem.encapsulate(new Uint8Array(length), new Uint8Array(32)), refused)
    }
    t.throws(() => kem.encapsulate(publicKey, new Uint8Array(31)), refused)
    t.throws(() => kem.decapsulate(seed, new Uint8Array(1_087)), refused)
    t.throws(() => kem.decapsulate(seed.subarray(1), new Uint8Array(1_088)), refused)
    t.end()
  })
}

void t.test('native and portable ML-KEM agree on random keys, ciphertexts and rejections', (t) => {
  fc.assert(
    fc.property(bytes(64), bytes(32), bytes(1_088), (seed, coins, stray) => {
      const publicKey = same((kem) => kem.publicKey(seed))
      const { ciphertext } = portable.kem.encapsulate(publicKey, coins)
      same((kem) => kem.decapsulate(seed, ciphertext))
      same((kem) => kem.decapsulate(seed, stray))
    }),
    { numRuns: 25 },
  )
  t.end()
})

void t.test(
  nodeHasIt
    ? 'what Node.js itself encapsulates, the portable implementation decapsulates'
    : 'a Node.js without ML-KEM uses the portable one',
  (t) => {
    if (!nodeHasIt) {
      t.equal(native.kem, portable.kem)
      return t.end()
    }
    t.not(native.kem, portable.kem, 'the native one is in use')
    const { createPublicKey, createPrivateKey, encapsulate } = nodeCrypto as unknown as {
      createPublicKey: typeof nodeCrypto.createPublicKey
      createPrivateKey: typeof nodeCrypto.createPrivateKey
      encapsulate: (key: nodeCrypto.KeyObject) => { ciphertext: Uint8Array; sharedKey: Uint8Array }
    }
    for (let i = 0; i < 20; i++) {
      const seed = new Uint8Array(64).fill(i)
      const der = Buffer.concat([Buffer.from('3054020100300b060960864801650304040204428040', 'hex'), seed])
      const key = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
      const { ciphertext, sharedKey } = encapsulate(key)
      t.equal(hex(portable.kem.decapsulate(seed, ciphertext)), hex(sharedKey))
      t.equal(hex(native.kem.decapsulate(seed, ciphertext)), hex(sharedKey))
    }
    t.end()
  },
)

function same(call: (kem: Kem) => Uint8Array): Uint8Array {
  const [a, b] = [call(native.kem), call(portable.kem)]
  if (hex(a) !== hex(b)) throw new Error('native and portable differ')
  return a
}

function bytes(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length })
}

/** Coefficients have 12 bits each, little endian (FIPS 203, ByteEncode with d = 12). */
function withCoefficient(publicKey: Uint8Array, index: number, value: number): Uint8Array {
  const changed = new Uint8Array(publicKey)
  const at = Math.floor(index / 2) * 3
  if (index % 2 === 0) {
    changed[at] = value
    changed[at + 1] = (changed[at + 1]! & 0xf0) | (value >> 8)
  } else {
    changed[at + 1] = (changed[at + 1]! & 0x0f) | ((value & 0x0f) << 4)
    changed[at + 2] = value >> 4
  }
  return changed
}
