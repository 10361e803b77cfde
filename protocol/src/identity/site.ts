import { FINGERPRINT_BYTES, LABEL } from '../constants.js'
import { u32 } from '../bytes.js'
import { encodeItems, ROLE, TYPE } from '../items.js'
import { derive } from '../primitives/derive.js'
import { crypto } from '../primitives/index.js'
import { addressKeyFromSeed, type AddressKey } from './address.js'

/** 16 bytes by which an invite names a site: the start of SHA-256 over its Ed25519 public key. */
export function siteFingerprint(siteKey: Uint8Array): Uint8Array {
  return crypto
    .sha256(encodeItems(LABEL.site, [TYPE.ed25519, ROLE.site, siteKey]))
    .subarray(0, FINGERPRINT_BYTES)
}

/*
 * What comes from a gateway's 32-byte master secret, each under one label (DESIGN section 3, "Site").
 */

/** K: the secret that a gateway shares with one device for life, whatever session it lost. */
export function deviceKey(master: Uint8Array, agentKey: Uint8Array): Uint8Array {
  return derive(master, LABEL.deviceKey, [TYPE.ed25519, ROLE.agent, agentKey])
}

/** The key of the site's directory slot, under which relays and links keep the newest prekey record. */
export function directoryKey(master: Uint8Array): AddressKey {
  return addressKeyFromSeed(derive(master, LABEL.directoryAddress))
}

/** The knock key of doorbells in one epoch; every epoch can be derived again. */
export function doorbellSecret(master: Uint8Array, epoch: number): Uint8Array {
  return derive(master, LABEL.doorbellSecret, [TYPE.number, ROLE.none, u32(epoch)])
}
