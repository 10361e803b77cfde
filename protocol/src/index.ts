export { concat, equalBytes, fromHex, hex, readU16, readU32, u16, u32, type Random } from './bytes.js'
export {
  BOOT_ID_BYTES,
  MAX_BATCH_BYTES,
  MAX_BATCH_READINGS,
  MAX_COMMAND_BYTES,
  MAX_COMMAND_NAME_BYTES,
  MAX_COMMAND_TTL_MS,
  MAX_CONTENT_BYTES,
  MAX_FIELD_NAME_BYTES,
  MAX_FIELDS,
  MAX_HELLO_CONTENT_BYTES,
  MAX_READING_BYTES,
  MAX_RELAYS,
  MAX_REPLY_TEXT_BYTES,
  SESSION_ID_BYTES,
  STREAM_BYTES,
  TREE_LEAVES,
} from './constants.js'
export { ProtocolError, type ProtocolErrorCode } from './errors.js'
export {
  asArray,
  asBool,
  asBytes,
  asFinite,
  asInteger,
  asText,
  asUint,
  decodeCbor,
  encodeCbor,
  type CborValue,
} from './cbor.js'
export {
  crypto,
  native,
  portable,
  type AgreementKey,
  type Kem,
  type Primitives,
  type SigningKey,
} from './primitives/index.js'
export {
  addressKeyFromSeed,
  addressOf,
  RELAY_NONCE_BYTES,
  verifyAddressProof,
  type AddressKey,
} from './identity/address.js'
export {
  signAgentCertificate,
  signGatewayCertificate,
  verifyAgentCertificate,
  verifyGatewayCertificate,
  type AgentCertificate,
  type GatewayCertificate,
} from './identity/certificate.js'
export { decodeInvite, encodeInvite, INVITE_ID_BIT, inviteKnockKey, type Invite } from './identity/invite.js'
export {
  parseRecord,
  RECORD_BYTES,
  signRecord,
  verifyRecord,
  type PrekeyRecord,
  type VerifiedRecord,
} from './identity/record.js'
export { relaysFromCbor, relaysToCbor, type RelayInfo } from './identity/relay-info.js'
export { deviceKey, directoryKey, doorbellSecret, siteFingerprint } from './identity/site.js'
export { beginHello, type HelloRequest } from './handshake/begin.js'
export {
  finishHello,
  helloHash,
  openHello,
  type OpenedHello,
  type PrekeySecrets,
} from './handshake/accept.js'
export { checkKnock, parseHello, type Hello, type HelloKind } from './handshake/layout.js'
export { successor, type DirectionSecrets, type SessionSecrets } from './handshake/schedule.js'
export { decodeDown, decodeUp, encodeMessages } from './messages/codec.js'
export type * from './messages/types.js'
export {
  ADDRESS_BYTES,
  HEADER_BYTES,
  MAX_HELLO_BYTES,
  MAX_PACKET_BYTES,
  PACKET_DATA,
  PACKET_HELLO,
  packetHash,
  parseHeader,
  type PacketHeader,
} from './packet/header.js'
export { OpeningDirection, SealingDirection, type Opened } from './session/directions.js'
export { KeyTree } from './session/key-tree.js'
export { decodeBatch, encodeBatch, type Batch } from './telemetry/batch.js'
export { SENML_ABSOLUTE_S, senmlName } from './telemetry/senml.js'
export {
  checkReading,
  readingBytes,
  type ClockQuality,
  type Reading,
  type ReadingQuality,
  type ReadingValue,
} from './telemetry/reading.js'
