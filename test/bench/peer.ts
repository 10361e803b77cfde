/** Plain MQTT: publisher -> aedes over TLS -> subscriber, three processes, nothing on disk. */
import { fileURLToPath } from 'node:url'
import type { Cleanup } from './cleanup.js'
import { measure, type Load, type Measured, type Timing } from './measure.js'
import type { Publishing } from './programs/publisher.js'
import type { Subscription } from './programs/subscriber.js'
import { Worker } from './worker.js'
import { RATE_PER_S } from './workload.js'

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

/** Messages without PUBACK. Fewer leave the processor idle, more only make queues longer. */
const WINDOW = { one: 1_000, many: 100 }

export interface PeerOptions {
  readonly readingsAMessage: number
  readonly loads: readonly Load[]
  readonly timing: Timing
}

export async function measurePeer(
  cleanup: Cleanup,
  { readingsAMessage, loads, timing }: PeerOptions,
): Promise<ReadonlyMap<Load, Measured>> {
  const worker = (name: 'broker' | 'publisher' | 'subscriber'): Worker => {
    const started = Worker.start(name)
    cleanup.teardown(() => started.stop())
    return started
  }
  const certificate = fixture('test-only-certificate.pem')
  const broker = worker('broker')
  const port = await broker.ask<number>('listen', { certificate, key: fixture('test-only-key.pem') })
  const url = `mqtts://127.0.0.1:${port}`
  const subscriber = worker('subscriber')
  // TLS here too: it gathers small writes, which makes it cheaper than plain TCP from the same broker.
  const subscription: Subscription = { url, certificate, topic: 'plain/#' }
  await subscriber.ask('subscribe', subscription)

  const results = new Map<Load, Measured>()
  for (const load of loads) {
    const publisher = worker('publisher')
    const publishing: Publishing = {
      url,
      certificate,
      readingsAMessage,
      ...(load === 'rate' && { ratePerS: RATE_PER_S }),
      window: readingsAMessage === 1 ? WINDOW.one : WINDOW.many,
    }
    await publisher.ask('publish', publishing)
    const { pid } = publisher
    const processes = { sender: pid, broker: broker.pid, subscriber: subscriber.pid }
    const pathOf = (connection: { pid: number }): 'direct' | undefined =>
      connection.pid === pid ? 'direct' : undefined
    results.set(load, await measure({ subscriber, processes, pathOf }, load, timing))
    await publisher.stop()
  }
  return results
}
