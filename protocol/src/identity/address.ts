import { utf8 } from '../bytes.js'
import { ADDRESS_BYTES, KEY_BYTES, LABEL, SIGNATURE_BYTES } from '../constants.js'
import { encodeItems, ROLE, TYPE } from '../items.js'
import { crypto } from '../primitives/index.js'

/** Bytes of the fresh nonce a relay sends on every connection. */
export const RELAY_NONCE_BYTES = 32

/** The private side of an address: whoever has it may create, read and delete the mailbox of that address. */
export interface AddressKey {
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array
  /** 16 bytes, see `addressOf`. */
  readonly address: Uint8Array
  /** The 64-byte proof for one connection to one relay: `nonce` is the relay's, `relayName` the host as dialled. */
  sign(nonce: Uint8Array, relayName: string): Uint8Array
}

/** The first 16 bytes of SHA-256 over the address key; seeing an address allows nothing. */
export function addressOf(publicKey: Uint8Array): Uint8Array {
  const digest = crypto.sha256(encodeItems(LABEL.address, [TYPE.ed25519, ROLE.none, publicKey]))
  return digest.subarray(0, ADDRESS_BYTES)
}

export function addressKeyFromSeed(seed: Uint8Array): AddressKey {
  const key = crypto.signingKey(seed)
  const address = addressOf(key.publicKey)
  return {
    publicKey: key.publicKey,
    address,
    sign: (nonce, relayName) => key.sign(proofBytes(nonce, relayName, address)),
  }
}

/** True where the holder of `publicKey` signed this connection's nonce, this relay's name and the key's own address. */
export function verifyAddressProof(
  publicKey: Uint8Array,
  signature: Uint8Array,
  nonce: Uint8Array,
  relayName: string,
): boolean {
  if (publicKey.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false
  return crypto.verify(publicKey, proofBytes(nonce, relayName, addressOf(publicKey)), signature)
}

function proofBytes(nonce: Uint8Array, relayName: string, address: Uint8Array): Uint8Array {
  return encodeItems(
    LABEL.relayProof,
    [TYPE.nonce, ROLE.relay, nonce],
    [TYPE.text, ROLE.relay, utf8(relayName)],
    [TYPE.address, ROLE.none, address],
  )
}
