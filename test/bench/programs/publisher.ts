/** The peer's sensor host: mqtt.js over TLS, QoS 1, one reading or many in a message. Keeps nothing on disk. */
import { readFileSync } from 'node:fs'
import { connectAsync, type MqttClient } from 'mqtt'
import { plainReadings, TICK_MS, type PlainReading } from '../workload.js'
import { serve } from './serve.js'

export interface Publishing {
  readonly url: string
  readonly certificate: string
  /** One reading in a message under a topic of its name, or so many in an array. */
  readonly readingsAMessage: number
  /** Readings a second. Absent: as fast as it goes. */
  readonly ratePerS?: number
  /** Messages without PUBACK that saturation does not exceed. */
  readonly window: number
}

/** The step of the readings' own time at saturation; only their shape depends on it. */
const SATURATION_PER_S = 20_000

let published = 0

serve({
  async publish({ url, certificate, readingsAMessage, ratePerS, window }: Publishing) {
    const client = await connectAsync(url, { ca: readFileSync(certificate), reconnectPeriod: 0 })
    client.on('close', () => process.exit(1))
    const sender = new Sender(client, readingsAMessage, plainReadings(ratePerS ?? SATURATION_PER_S))
    if (ratePerS === undefined) sender.saturate(window)
    else sender.keepRate(ratePerS)
  },
  published: () => published,
})

class Sender {
  readonly #client: MqttClient
  readonly #readingsAMessage: number
  readonly #reading: (index: number, wallMs: number) => PlainReading
  #made = 0
  #collected: PlainReading[] = []

  constructor(
    client: MqttClient,
    readingsAMessage: number,
    reading: (index: number, wallMs: number) => PlainReading,
  ) {
    this.#client = client
    this.#readingsAMessage = readingsAMessage
    this.#reading = reading
  }

  saturate(window: number): void {
    let unacknowledged = 0
    const fill = (): void => {
      while (unacknowledged < window) {
        unacknowledged++
        while (!this.#take(Date.now(), acknowledged));
      }
    }
    const acknowledged = (): void => {
      unacknowledged--
      fill()
    }
    fill()
  }

  /** Every tick what is due, each reading with the time at which it was due: as the agent's simulated source. */
  keepRate(perSecond: number): void {
    const startMs = Date.now()
    setInterval(() => {
      const due = Math.floor(((Date.now() - startMs) * perSecond) / 1_000)
      while (this.#made < due) this.#take(Math.floor(startMs + (this.#made * 1_000) / perSecond), nothing)
    }, TICK_MS)
  }

  /** True when it sent a message. */
  #take(wallMs: number, acknowledged: () => void): boolean {
    const reading = this.#reading(this.#made++, wallMs)
    if (this.#readingsAMessage === 1) {
      const { name, ...rest } = reading
      this.#send(name, rest, 1, acknowledged)
      return true
    }
    this.#collected.push(reading)
    if (this.#collected.length < this.#readingsAMessage) return false
    const readings = this.#collected
    this.#collected = []
    this.#send('readings', readings, readings.length, acknowledged)
    return true
  }

  #send(name: string, payload: object, readings: number, acknowledged: () => void): void {
    this.#client.publish(`plain/bench/press/${name}`, JSON.stringify(payload), { qos: 1 }, (error) => {
      if (error) throw error
      published += readings
      acknowledged()
    })
  }
}

function nothing(): void {}
