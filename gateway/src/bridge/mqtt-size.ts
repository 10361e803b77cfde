import type { Message, MessageProperties } from './topics.js'

/** Bytes of a PUBLISH packet with QoS 1 in MQTT 5 (sections 2.1 and 3.3), to be held against the broker's maximum. */
export function publishBytes({ topic, payload, properties }: Message): number {
  const inside = properties ? propertyBytes(properties) : 0
  const body = text(topic) + 2 + integer(inside) + inside + payload.length
  return 1 + integer(body) + body
}

/** Each property is one byte of identifier and its value. */
function propertyBytes(properties: MessageProperties): number {
  const { user = {}, contentType, expirySeconds, responseTopic, correlation } = properties
  let bytes = 0
  for (const [name, value] of Object.entries(user)) bytes += 1 + text(name) + text(value)
  if (contentType !== undefined) bytes += 1 + text(contentType)
  if (expirySeconds !== undefined) bytes += 1 + 4
  if (responseTopic !== undefined) bytes += 1 + text(responseTopic)
  if (correlation !== undefined) bytes += 1 + 2 + correlation.length
  return bytes
}

function text(value: string): number {
  return 2 + Buffer.byteLength(value)
}

/** A variable byte integer: seven bits a byte. */
function integer(value: number): number {
  return value < 2 ** 7 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 21 ? 3 : 4
}
