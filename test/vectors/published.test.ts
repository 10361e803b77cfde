import { fromHex, hex, native, portable, ProtocolError } from '@fieldwhisper/protocol'
import t from 'tap'
import { hkdfExpand, hkdfExtract } from '../../protocol/dist/primitives/hkdf.js'
import * as reference from './reference/primitives.js'
import {
  AEAD,
  ED25519,
  HKDF,
  HMAC,
  SHA256,
  X25519,
  X25519_ITERATED,
  X25519_PUBLIC,
} from './support/published.js'

for (const [name, primitives] of Object.entries({ native, portable })) {
  void t.test(`${name}: SHA-256 gives the digests of FIPS 180-4, in one part or several`, (t) => {
    for (const { message, digest } of SHA256) {
      const bytes = fromHex(message)
      t.equal(hex(primitives.sha256(bytes)), digest)
      t.equal(hex(primitives.sha256(bytes.subarray(0, 1), new Uint8Array(0), bytes.subarray(1))), digest)
    }
    t.end()
  })

  void t.test(`${name}: HMAC gives the results of RFC 4231, in one part or several`, (t) => {
    for (const { key, data, sha256, sha512 } of HMAC) {
      const bytes = fromHex(data)
      const parts = [bytes.subarray(0, 3), bytes.subarray(3)]
      t.equal(hex(primitives.hmacSha256(fromHex(key), bytes)), sha256)
      t.equal(hex(primitives.hmacSha256(fromHex(key), ...parts)), sha256)
      t.equal(hex(primitives.hmacSha512(fromHex(key), bytes)), sha512)
      t.equal(hex(primitives.hmacSha512(fromHex(key), ...parts)), sha512)
    }
    t.end()
  })

  void t.test(`${name}: X25519 gives the results of RFC 7748`, (t) => {
    for (const { scalar, u, out } of X25519) {
      t.equal(hex(primitives.agreementKey(fromHex(scalar)).agree(fromHex(u))), out)
    }
    for (const { scalar, publicKey } of X25519_PUBLIC) {
      t.equal(hex(primitives.agreementKey(fromHex(scalar)).publicKey), publicKey)
    }
    let [k, u] = [fromHex(`09${'00'.repeat(31)}`), fromHex(`09${'00'.repeat(31)}`)]
    for (let i = 1; i <= 1000; i++) {
      ;[k, u] = [primitives.agreementKey(k).agree(u), k]
      if (i === 1) t.equal(hex(k), X25519_ITERATED[1])
    }
    t.equal(hex(k), X25519_ITERATED[1000])
    t.end()
  })

  void t.test(`${name}: Ed25519 gives and verifies the signatures of RFC 8032`, (t) => {
    for (const { seed, publicKey, message, signature } of ED25519) {
      const key = primitives.signingKey(fromHex(seed))
      t.equal(hex(key.publicKey), publicKey)
      t.equal(hex(key.sign(fromHex(message))), signature)
      t.ok(primitives.verify(key.publicKey, fromHex(message), fromHex(signature)))
      t.notOk(primitives.verify(key.publicKey, fromHex(`${message}00`), fromHex(signature)))
    }
    t.end()
  })

  void t.test(
    `${name}: ChaCha20-Poly1305 seals and opens the examples of RFC 8439 and nothing altered`,
    (t) => {
      for (const { key, nonce, aad, plaintext, sealed } of AEAD) {
        const [k, n, a, s] = [fromHex(key), fromHex(nonce), fromHex(aad), fromHex(sealed)]
        t.equal(hex(primitives.seal(k, n, a, fromHex(plaintext))), sealed)
        t.equal(hex(primitives.open(k, n, a, s) ?? new Uint8Array(0)), plaintext)
        for (const part of [n, a, s]) {
          part[part.length - 1]! ^= 1
          t.equal(primitives.open(k, n, a, s), undefined)
          part[part.length - 1]! ^= 1
        }
        t.equal(primitives.open(k, n, a, s.subarray(0, -1)), undefined)
        t.equal(primitives.open(k, n, a, s.subarray(0, 15)), undefined, 'shorter than a tag')
      }
      t.end()
    },
  )

  void t.test(`${name}: private keys of a wrong length are an error, not another key`, (t) => {
    for (const length of [0, 31, 33, 64]) {
      t.throws(() => primitives.agreementKey(new Uint8Array(length)), Error)
      t.throws(() => primitives.signingKey(new Uint8Array(length)), Error)
    }
    t.throws(
      () => primitives.kem.publicKey(new Uint8Array(63)),
      new ProtocolError('FW_MALFORMED', 'KEM seed has 63 bytes, expected 64'),
    )
    t.end()
  })
}

void t.test('HKDF gives the keys of RFC 5869, in the product and in the reference', (t) => {
  for (const { ikm, salt, info, prk, okm } of HKDF) {
    const length = okm.length / 2
    t.equal(hex(hkdfExtract(fromHex(salt), fromHex(ikm))), prk)
    t.equal(hex(hkdfExpand(fromHex(prk), fromHex(info), length)), okm)
    t.equal(hex(reference.extract(fromHex(salt), fromHex(ikm))), prk)
    t.equal(hex(reference.expand(fromHex(prk), fromHex(info), length)), okm)
  }
  t.end()
})
