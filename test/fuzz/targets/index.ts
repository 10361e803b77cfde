import type { Target } from '../engine/target.js'

/**
 * In the order in which bytes come in: wire, handshake, content, then what people type, then what lies on disk. Each is loaded
 * when it is asked for: a look at the coverage takes longer the more code there is.
 */
export const targets: Readonly<Record<string, () => Promise<Target>>> = {
  'lan-frames': async () => (await import('./lan.js')).lanFrames,
  beacon: async () => (await import('./lan.js')).beacon,
  'relay-client-frames': async () => (await import('./relay-frames.js')).relayClientFrames,
  'relay-frames': async () => (await import('./relay-frames.js')).relayFrames,
  'relay-socket': async () => (await import('./relay-socket.js')).relaySocket,
  'relay-conversation': async () => (await import('./relay-conversation.js')).relayConversation,
  'relay-http': async () => (await import('./relay-http.js')).relayHttp,
  'mqtt-lengths': async () => (await import('./outbox.js')).brokerMeter,
  'sparkplug-payload': async () => (await import('./sparkplug.js')).sparkplugPayload,
  packet: async () => (await import('./packet.js')).packet,
  hello: async () => (await import('./hello.js')).hello,
  'hello-box1': async () => (await import('./hello.js')).box1,
  'prekey-record': async () => (await import('./identity.js')).record,
  certificate: async () => (await import('./identity.js')).certificate,
  'messages-up': async () => (await import('./messages.js')).messagesUp,
  'messages-down': async () => (await import('./messages.js')).messagesDown,
  cbor: async () => (await import('./cbor.js')).cbor,
  batch: async () => (await import('./batch.js')).batch,
  'serial-lines': async () => (await import('./lines.js')).serialLines,
  invite: async () => (await import('./identity.js')).invite,
  'config-agent': async () => (await import('./config.js')).configAgent,
  'config-gateway': async () => (await import('./config.js')).configGateway,
  'config-relay': async () => (await import('./config.js')).configRelay,
  'store-record': async () => (await import('./host-record.js')).hostRecord,
  'agent-state': async () => (await import('./agent-state.js')).agentState,
  'spool-records': async () => (await import('./spool.js')).spoolRecords,
  'spool-start': async () => (await import('./spool.js')).spoolStart,
  'outbox-item': async () => (await import('./outbox.js')).outboxItem,
  'retained-value': async () => (await import('./outbox.js')).retainedValues,
  'gateway-state': async () => (await import('./gateway-state.js')).gatewayState,
  'relay-state': async () => (await import('./relay-state.js')).relayState,
}
