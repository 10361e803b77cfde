import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto'
import { wipe } from '../bytes.js'
import { KEY_BYTES, SIGNATURE_BYTES, TAG_BYTES } from '../constants.js'
import { expectLength, ProtocolError } from '../errors.js'
import { isStrictPublicKey } from './ed25519-key.js'
import { portableKem } from './kem.js'
import { findNativeKem } from './native-kem.js'
import type { Primitives } from './types.js'

type Curve = 'X25519' | 'Ed25519'

/** PKCS #8 of a bare 32-byte private key, RFC 8410 section 7. */
const PKCS8: Readonly<Record<Curve, Buffer>> = {
  X25519: Buffer.from('302e020100300506032b656e04220420', 'hex'),
  Ed25519: Buffer.from('302e020100300506032b657004220420', 'hex'),
}

function privateKeyFromDer(curve: Curve, secret: Uint8Array): KeyObject {
  const key = Buffer.concat([PKCS8[curve], secret])
  try {
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  } finally {
    wipe(key)
  }
}

/** A JWK names the public key too (RFC 8037), which is not known yet; Node.js wants the field and reads only `d`. */
function privateKeyFromJwk(curve: Curve, secret: Uint8Array): KeyObject {
  const d = Buffer.from(secret.buffer, secret.byteOffset, secret.length).toString('base64url')
  return createPrivateKey({ key: { kty: 'OKP', crv: curve, x: UNREAD_X, d }, format: 'jwk' })
}

const UNREAD_X = 'A'.repeat(43)
const OPENSSL_3_1 = 0x3010_0000

/** True where this Node.js takes the private key of a JWK as it stands. */
function jwkGivesSameKey(curve: Curve): boolean {
  const secret = new Uint8Array(KEY_BYTES).fill(7)
  try {
    const [a, b] = [privateKeyFromJwk(curve, secret), privateKeyFromDer(curve, secret)].map(rawPublicKey)
    return Buffer.compare(a!, b!) === 0
  } catch {
    return false
  }
}

/**
 * With the OpenSSL 3.0 of Node 20 a JWK is ten times faster; with later ones DER is as fast, and its bytes can be overwritten,
 * which the text of a JWK cannot.
 */
const derIsSlow = constants.OPENSSL_VERSION_NUMBER < OPENSSL_3_1
const privateKeyFrom: Readonly<Record<Curve, typeof privateKeyFromDer>> = {
  X25519: derIsSlow && jwkGivesSameKey('X25519') ? privateKeyFromJwk : privateKeyFromDer,
  Ed25519: derIsSlow && jwkGivesSameKey('Ed25519') ? privateKeyFromJwk : privateKeyFromDer,
}

function privateKey(curve: Curve, secret: Uint8Array): KeyObject {
  expectLength(`${curve} private key`, secret, KEY_BYTES)
  return privateKeyFrom[curve](curve, secret)
}

/** By JWK: importing DER costs several times more (docs/decisions/003-primitives.md). */
function publicKeyOf(curve: Curve, raw: Uint8Array): KeyObject {
  return createPublicKey({
    key: { kty: 'OKP', crv: curve, x: Buffer.from(raw).toString('base64url') },
    format: 'jwk',
  })
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x!, 'base64url'))
}

function hmac(algorithm: 'sha256' | 'sha512', key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  // A KeyObject, not the raw bytes: Node 24.19 to 24.21 spend 10 to 20 µs more on raw keys.
  const mac = createHmac(algorithm, createSecretKey(key))
  for (const part of parts) mac.update(part)
  return mac.digest()
}

/** node:crypto, with ML-KEM by the `mlkem` package where node:crypto has none. */
export const native: Primitives = {
  sha256(...parts) {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return hash.digest()
  },
  hmacSha256: (key, ...parts) => hmac('sha256', key, parts),
  hmacSha512: (key, ...parts) => hmac('sha512', key, parts),
  seal(key, nonce, aad, plaintext) {
    const cipher = createCipheriv('chacha20-poly1305', createSecretKey(key), nonce, {
      authTagLength: TAG_BYTES,
    })
    cipher.setAAD(aad, { plaintextLength: plaintext.length })
    return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  },
  open(key, nonce, aad, sealed) {
    const length = sealed.length - TAG_BYTES
    if (length < 0) return undefined
    const cipher = createDecipheriv('chacha20-poly1305', createSecretKey(key), nonce, {
      authTagLength: TAG_BYTES,
    })
    cipher.setAAD(aad, { plaintextLength: length })
    cipher.setAuthTag(sealed.subarray(length))
    const plaintext = cipher.update(sealed.subarray(0, length))
    try {
      cipher.final()
    } catch {
      return undefined
    }
    return plaintext
  },
  agreementKey(secret) {
    const key = privateKey('X25519', secret)
    return {
      publicKey: rawPublicKey(key),
      agree(publicKey) {
        try {
          return diffieHellman({ privateKey: key, publicKey: publicKeyOf('X25519', publicKey) })
        } catch (cause) {
          throw new ProtocolError('FW_KEY_INVALID', 'the X25519 key gives no shared secret', { cause })
        }
      },
    }
  },
  signingKey(seed) {
    const key = privateKey('Ed25519', seed)
    return { publicKey: rawPublicKey(key), sign: (message) => sign(null, message, key) }
  },
  verify(publicKey, message, signature) {
    if (signature.length !== SIGNATURE_BYTES || !isStrictPublicKey(publicKey)) return false
    try {
      return verify(null, message, publicKeyOf('Ed25519', publicKey), signature)
    } catch {
      return false
    }
  },
  kem: findNativeKem() ?? portableKem,
}
