/** Whoever reads the readings in the end, on both sides the same: mqtt.js, QoS 1, every payload parsed. */
import { readFileSync } from 'node:fs'
import { connectAsync } from 'mqtt'
import { percentile } from '../statistics.js'
import { serve } from './serve.js'

export interface Subscription {
  readonly url: string
  readonly user?: string
  readonly password?: string
  /** For TLS: file of the certificate to trust. */
  readonly certificate?: string
  readonly topic: string
}

/** What came between `begin` and `end`. */
export interface Received {
  readonly readings: number
  readonly messages: number
  readonly seconds: number
  /** From a reading's `time` to the message event here; null where it was not asked for. */
  readonly latencyMs: { readonly p50: number; readonly p99: number; readonly max: number } | null
  /** Readings by what they say of themselves. Empty for the peer. */
  readonly paths: Readonly<Record<string, number>>
  readonly clocks: Readonly<Record<string, number>>
  readonly historical: number
}

interface Payload {
  readonly time: string
  readonly path?: string
  readonly clock?: string
  readonly historical?: boolean
}

let total = 0
let messages = 0
let historical = 0
let beganMs = 0
let beganAt = 0
let latencies: number[] | undefined
let paths = new Map<string, number>()
let clocks = new Map<string, number>()

serve({
  async subscribe({ url, user, password, certificate, topic }: Subscription) {
    const client = await connectAsync(url, {
      reconnectPeriod: 0,
      ...(user !== undefined && { username: user }),
      ...(password !== undefined && { password }),
      ...(certificate !== undefined && { ca: readFileSync(certificate) }),
    })
    client.on('message', (_topic, payload, { retain }) => {
      if (!retain) take(JSON.parse(payload.toString()) as Payload | readonly Payload[])
    })
    client.on('close', () => process.exit(1))
    await client.subscribeAsync(topic, { qos: 1 })
  },
  total: () => total,
  begin({ latency }: { latency: boolean }) {
    latencies = latency ? [] : undefined
    paths = new Map()
    clocks = new Map()
    messages = historical = 0
    beganAt = total
    beganMs = performance.now()
  },
  end(): Received {
    const seconds = (performance.now() - beganMs) / 1_000
    const measured = latencies
    latencies = undefined
    return {
      readings: total - beganAt,
      messages,
      seconds,
      latencyMs: measured
        ? {
            p50: percentile(measured, 0.5),
            p99: percentile(measured, 0.99),
            max: percentile(measured, 1),
          }
        : null,
      paths: Object.fromEntries(paths),
      clocks: Object.fromEntries(clocks),
      historical,
    }
  },
})

function take(payload: Payload | readonly Payload[]): void {
  messages++
  if (isMany(payload)) payload.forEach(count)
  else count(payload)
}

function isMany(payload: Payload | readonly Payload[]): payload is readonly Payload[] {
  return Array.isArray(payload)
}

function count({ time, path, clock, historical: late }: Payload): void {
  total++
  if (latencies) latencies.push(Date.now() - Date.parse(time))
  if (path === undefined) return
  paths.set(path, (paths.get(path) ?? 0) + 1)
  if (clock !== undefined) clocks.set(clock, (clocks.get(clock) ?? 0) + 1)
  if (late === true) historical++
}
