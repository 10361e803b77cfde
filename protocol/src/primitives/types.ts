/**
 * The primitives the protocol is built from. Two implementations stand side by side, `native` (node:crypto) and `portable`
 * (@noble, mlkem); both pass the same vectors. Keys and outputs are 32 bytes unless a comment says otherwise.
 */
export interface Primitives {
  /** SHA-256, FIPS 180-4. */
  sha256(...parts: readonly Uint8Array[]): Uint8Array
  /** HMAC-SHA-256, RFC 2104. */
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  /** HMAC-SHA-512, 64 bytes, RFC 2104. */
  hmacSha512(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  /** ChaCha20-Poly1305, RFC 8439: nonce 12 bytes, returns ciphertext ‖ 16-byte tag. Never twice with one key and nonce. */
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array
  /** The plaintext, or undefined where the tag does not verify. */
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined
  /** X25519, RFC 7748. */
  agreementKey(secret: Uint8Array): AgreementKey
  /** Ed25519, RFC 8032, from its 32-byte seed. */
  signingKey(seed: Uint8Array): SigningKey
  /**
   * RFC 8032 section 5.1.7 without cofactor. False on a wrong signature, on s ≥ the group order, and on a public key that is not
   * a point, is not canonical or has small order.
   */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
  readonly kem: Kem
}

export interface AgreementKey {
  readonly publicKey: Uint8Array
  /** Throws ProtocolError FW_KEY_INVALID where the shared secret is all zero (a low-order point). */
  agree(publicKey: Uint8Array): Uint8Array
}

export interface SigningKey {
  readonly publicKey: Uint8Array
  /** 64 bytes. */
  sign(message: Uint8Array): Uint8Array
}

/** ML-KEM-768, FIPS 203. Private keys are kept as their 64-byte seed (d ‖ z). */
export interface Kem {
  /** The 1,184-byte encapsulation key of a seed. */
  publicKey(seed: Uint8Array): Uint8Array
  /** Throws FW_KEY_INVALID on a key that fails the modulus check (FIPS 203, 7.2). `coins` are 32 random bytes. */
  encapsulate(publicKey: Uint8Array, coins: Uint8Array): { ciphertext: Uint8Array; secret: Uint8Array }
  /** Never fails on a wrong key or ciphertext: it gives another secret (implicit rejection). */
  decapsulate(seed: Uint8Array, ciphertext: Uint8Array): Uint8Array
}
