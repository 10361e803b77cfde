import mqtt, { type MqttClient } from 'mqtt'
import { LOOPBACK } from '../programs/ports.js'
import { BROKER_USER, SITE } from './constants.js'
import type { Arrival } from './tally.js'

/** Subscribes at the plant's broker as any other program would. Resolves once the broker has confirmed. */
export async function subscribe(
  port: number,
  password: string,
  onArrival: (arrival: Arrival) => void,
): Promise<MqttClient> {
  const client = await mqtt.connectAsync({
    host: LOOPBACK,
    port,
    username: BROKER_USER,
    password,
    protocolVersion: 4,
    reconnectPeriod: 0,
  })
  client.on('message', (topic, payload) => {
    const arrival = readArrival(topic, payload, unixMs())
    if (arrival) onArrival(arrival)
  })
  await client.subscribeAsync(`fieldwhisper/${SITE}/+/+`, { qos: 1 })
  return client
}

/** Unix time that does not jump. */
export function unixMs(): number {
  return performance.timeOrigin + performance.now()
}

/** A counter's reading as the gateway publishes it, or undefined for anything else. */
export function readArrival(topic: string, payload: Uint8Array, atMs: number): Arrival | undefined {
  try {
    const content: unknown = JSON.parse(Buffer.from(payload).toString('utf8'))
    if (typeof content !== 'object' || content === null) return undefined
    const { value, id, path, time } = content as Record<string, unknown>
    const agent = topic.split('/').at(-2)
    const madeMs = Date.parse(String(time))
    if (agent === undefined || typeof value !== 'number' || typeof id !== 'string' || Number.isNaN(madeMs))
      return undefined
    if (path !== 'lan' && path !== 'relay') return undefined
    return { agent, number: value, id, path, madeMs, atMs }
  } catch {
    return undefined
  }
}
