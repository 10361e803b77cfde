export { createLan, type Lan, type LanHandlers, type LanOptions, type LanStatus } from './lan.js'
export { DEFAULT_BEACON_PORT, DEFAULT_GROUPS, DEFAULT_LINK_PORT, type LinkTiming } from './constants.js'
export { parsePeer, type LinkTarget } from './target.js'
export { type LinkInfo, type LinkEvents, type LinksOptions } from './links.js'
export { type LinkEnd } from './link.js'

// The parts, for tests, tools and the simulation.
export * as lanConstants from './constants.js'
export { addressBytes, addressText, plainAddress, targetKey, withoutScope } from './target.js'
export { admit, type Admission, type InboundLink } from './admission.js'
export { decodeBeacon, encodeBeacon, type Beacon, type BeaconFault } from './beacon.js'
export {
  BeaconSocket,
  beaconWait,
  type BeaconCounts,
  type BeaconSocketOptions,
  type HeardBeacon,
} from './beacon-socket.js'
export {
  broadcastAddress,
  chooseInterfaces,
  isOnLink,
  isOwnAddress,
  type LanInterface,
} from './interfaces.js'
export {
  LinkFrameParser,
  packetFrame,
  pingFrame,
  pongFrame,
  questionFrame,
  recordFrame,
  type FramePieces,
  type LinkFrame,
} from './frames.js'
export { Links } from './links.js'
export {
  AGENT_LINK_OPTIONS,
  DEFAULT_LAN_LIMITS,
  GATEWAY_LINK_OPTIONS,
  LAN_LIMITS,
  LAN_OPTIONS,
  type LanLimits,
} from './limits.js'
export { Neighbours, type NeighbourEffect, type NeighbourEvent, type NeighbourOptions } from './neighbours.js'
