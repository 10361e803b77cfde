import { concat, wipe } from '../bytes.js'
import { KEY_BYTES, LABEL, PROTOCOL_VERSION, SESSION_ID_BYTES } from '../constants.js'
import { addressKeyFromSeed, type AddressKey } from '../identity/address.js'
import { roleByte, type PrekeyRecord } from '../identity/record.js'
import { expectLength } from '../errors.js'
import { encodeItems, ROLE, TYPE } from '../items.js'
import { derive } from '../primitives/derive.js'
import { hkdfExpand, hkdfExtract } from '../primitives/hkdf.js'
import { crypto } from '../primitives/index.js'

/*
 * The key schedule of a hello (DESIGN section 4, docs/protocol.md "Key schedule"), the same at both ends.
 *
 *   1 t1       what both saw before any secret
 *   2 k1, ck   from two X25519 results and one ML-KEM secret, salted with t1
 *   3 root     from ck, K and r, bound to box1 and so to the agent's identity and signature
 *   4 session  one label each from root
 */

export interface DirectionSecrets {
  readonly addressSeed: Uint8Array
  readonly treeRoot: Uint8Array
}

export interface SessionSecrets {
  /** 8 bytes: names the session to both ends, never on the wire in the clear. */
  readonly id: Uint8Array
  /** Seals the first messages, once. */
  readonly box2Key: Uint8Array
  /** r of the session's successor. */
  readonly resumption: Uint8Array
  /** Agent to gateway. */
  readonly up: DirectionSecrets
  /** Gateway to agent. */
  readonly down: DirectionSecrets
}

export function transcript(
  record: PrekeyRecord,
  headerWithoutHops: Uint8Array,
  ephemeralKey: Uint8Array,
  kemCiphertext: Uint8Array,
): Uint8Array {
  return crypto.sha256(
    encodeItems(
      LABEL.hello,
      [TYPE.number, ROLE.none, Uint8Array.of(PROTOCOL_VERSION)],
      [TYPE.ed25519, ROLE.site, record.siteKey],
      [TYPE.certificate, ROLE.gateway, record.gatewayCertificate],
      [TYPE.record, roleByte(record.role), record.bytes],
      [TYPE.header, ROLE.none, headerWithoutHops],
      [TYPE.x25519, ROLE.ephemeral, ephemeralKey],
      [TYPE.kemCiphertext, ROLE.ephemeral, kemCiphertext],
    ),
  )
}

/** k1 seals box1; ck goes on into root. The three shared secrets are overwritten. */
export function helloKeys(
  t1: Uint8Array,
  identityShared: Uint8Array,
  prekeyShared: Uint8Array,
  kemSecret: Uint8Array,
): { readonly k1: Uint8Array; readonly ck: Uint8Array } {
  const keyMaterial = concat(identityShared, prekeyShared, kemSecret)
  const key = hkdfExtract(t1, keyMaterial)
  const out = hkdfExpand(key, encodeItems(LABEL.helloKeys), 2 * KEY_BYTES)
  wipe(identityShared, prekeyShared, kemSecret, keyMaterial, key)
  return { k1: out.subarray(0, KEY_BYTES), ck: out.subarray(KEY_BYTES) }
}

/** What the agent signs: everything of box1 but the signature itself. */
export function agentSignatureBytes(t1: Uint8Array, restOfBox1: Uint8Array): Uint8Array {
  return encodeItems(LABEL.agentSignature, [TYPE.hash, ROLE.none, t1], [TYPE.bytes, ROLE.agent, restOfBox1])
}

/** The 32-byte name under which a gateway remembers an accepted hello, whatever its knock, hops or box2. */
export function acceptedHash(t1: Uint8Array, box1: Uint8Array): Uint8Array {
  return crypto.sha256(
    encodeItems(LABEL.sessionAccepted, [TYPE.hash, ROLE.none, t1], [TYPE.bytes, ROLE.none, box1]),
  )
}

/** `k` is the device key (or an invite's secret), `r` the resumption secret of the continued session, or 32 zeros. */
export function sessionSecrets(
  t1: Uint8Array,
  ck: Uint8Array,
  box1: Uint8Array,
  k: Uint8Array,
  r: Uint8Array,
): SessionSecrets {
  expectLength('K', k, KEY_BYTES)
  expectLength('r', r, KEY_BYTES)
  const bound = [
    [TYPE.hash, ROLE.none, t1],
    [TYPE.bytes, ROLE.none, box1],
  ] as const
  const root = hkdfExpand(hkdfExtract(ck, concat(k, r)), encodeItems(LABEL.root, ...bound), KEY_BYTES)
  const session: SessionSecrets = {
    id: crypto.sha256(encodeItems(LABEL.session, ...bound)).subarray(0, SESSION_ID_BYTES),
    box2Key: derive(root, LABEL.box2),
    resumption: derive(root, LABEL.resumption),
    up: { addressSeed: derive(root, LABEL.addressUp), treeRoot: derive(root, LABEL.treeUp) },
    down: { addressSeed: derive(root, LABEL.addressDown), treeRoot: derive(root, LABEL.treeDown) },
  }
  wipe(root)
  return session
}

/** Where the successor of a session knocks: both ends derive it from the session's r. */
export function successor(r: Uint8Array): { readonly addressKey: AddressKey; readonly knockKey: Uint8Array } {
  return {
    addressKey: addressKeyFromSeed(derive(r, LABEL.successorAddress)),
    knockKey: derive(r, LABEL.successorKnock),
  }
}
