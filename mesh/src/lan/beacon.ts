import {
  BEACON_BYTES,
  BEACON_ID_BYTES,
  BEACON_MAGIC,
  BEACON_RESERVED_BYTES,
  BEACON_VERSION,
} from './constants.js'

const ID_OFFSET = 5
const PORT_OFFSET = 13
const RESERVED_OFFSET = 15

/** What one device announces: "I listen on this TCP port". It names neither role nor site (DESIGN 7). */
export interface Beacon {
  /** 8 bytes, redrawn every 15 min: tells the own beacon and a restarted device apart, proves nothing. */
  readonly id: Uint8Array
  /** 1 to 65,535 */
  readonly port: number
}

/** Why a datagram is no beacon; each reason is counted. */
export type BeaconFault = 'length' | 'magic' | 'version' | 'port'

/** The 31 bytes on the wire; `reserved` are 16 random bytes, so that a later use of them looks the same. */
export function encodeBeacon(beacon: Beacon, reserved: Uint8Array): Uint8Array {
  if (beacon.id.length !== BEACON_ID_BYTES || reserved.length !== BEACON_RESERVED_BYTES) {
    throw new RangeError('a beacon has an id of 8 bytes and 16 reserved bytes')
  }
  if (!Number.isInteger(beacon.port) || beacon.port < 1 || beacon.port > 65_535) {
    throw new RangeError(`a beacon cannot announce port ${beacon.port}`)
  }
  const bytes = new Uint8Array(BEACON_BYTES)
  bytes.set(BEACON_MAGIC)
  bytes[4] = BEACON_VERSION
  bytes.set(beacon.id, ID_OFFSET)
  bytes[PORT_OFFSET] = beacon.port >>> 8
  bytes[PORT_OFFSET + 1] = beacon.port & 0xff
  bytes.set(reserved, RESERVED_OFFSET)
  return bytes
}

/** Reads a datagram from anybody. Never throws; the reserved bytes are not looked at. */
export function decodeBeacon(datagram: Uint8Array): Beacon | BeaconFault {
  // The version is read first where there is one: a longer beacon of a later version is not a broken one of ours.
  if (datagram.length <= 4) return 'length'
  for (let i = 0; i < BEACON_MAGIC.length; i++) if (datagram[i] !== BEACON_MAGIC[i]) return 'magic'
  if (datagram[4] !== BEACON_VERSION) return 'version'
  if (datagram.length !== BEACON_BYTES) return 'length'
  const port = (datagram[PORT_OFFSET]! << 8) | datagram[PORT_OFFSET + 1]!
  if (port === 0) return 'port'
  return { id: datagram.slice(ID_OFFSET, PORT_OFFSET), port }
}
