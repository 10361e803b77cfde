import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { CLIENT_WRITE_BUFFER_BYTES } from './constants.js'

/**
 * Follows MQTT's fixed headers (3.1.1, section 2.2) through a stream of bytes and refuses a packet by its announced length,
 * before any of it is kept. aedes and its parser have no such limit and would buffer 256 MiB.
 */
export class PacketMeter {
  limit: number
  /** Bytes of the current packet that are still to come; undefined inside a fixed header. */
  #body: number | undefined
  #length = 0
  #shift = -7

  constructor(limit: number) {
    this.limit = limit
  }

  /** False as soon as a packet is larger than the limit or its length is not well formed. */
  take(chunk: Uint8Array): boolean {
    let at = 0
    while (at < chunk.length) {
      if (this.#body === undefined) {
        if (!this.#header(chunk[at++]!)) return false
      } else {
        const part = Math.min(this.#body, chunk.length - at)
        at += part
        this.#body -= part
      }
      if (this.#body === 0) this.#next()
    }
    return true
  }

  #header(byte: number): boolean {
    if (this.#shift >= 0) {
      if (this.#shift > 21) return false
      this.#length += (byte & 0x7f) * 2 ** this.#shift
      if (this.#length > this.limit) return false
      if (byte < 0x80) this.#body = this.#length
    }
    this.#shift += 7
    return true
  }

  #next(): void {
    this.#body = undefined
    this.#length = 0
    this.#shift = -7
  }
}

/**
 * The connection of one MQTT client as aedes gets it: with a limit on packets coming in and a real buffer going out, so that
 * a subscriber that pauses for a moment does not hold up all others.
 */
export class BrokerSocket extends Duplex {
  /** The TCP connection, below TLS and WebSocket where there are any. */
  readonly below: Socket
  readonly #socket: Duplex
  readonly #meter: PacketMeter
  #gathering = false

  constructor(socket: Duplex, below: Socket, maxPacketBytes: number) {
    super({ writableHighWaterMark: CLIENT_WRITE_BUFFER_BYTES })
    this.#socket = socket
    this.below = below
    this.#meter = new PacketMeter(maxPacketBytes)
    socket.on('data', (chunk: Buffer) => {
      if (!this.#meter.take(chunk))
        this.destroy(new Error(`a packet of more than ${this.#meter.limit} bytes`))
      else if (!this.push(chunk)) socket.pause()
    })
    socket.on('end', () => this.push(null))
    socket.on('error', (error) => this.destroy(error))
    socket.on('close', () => this.destroy())
  }

  /** The client logged in: larger packets are taken from now on. */
  allow(maxPacketBytes: number): void {
    this.#meter.limit = maxPacketBytes
  }

  /** Ends the connection behind everything that was written; resolves when the system has it. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      this.once('close', resolve)
      this.end(resolve)
    })
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#gather()
    if (this.#socket.write(chunk)) done()
    else this.#socket.once('drain', done)
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), '', done)
  }

  /** aedes writes message by message: what it writes in one turn of the event loop goes to the system in one call. */
  #gather(): void {
    if (this.#gathering) return
    this.#gathering = true
    this.#socket.cork()
    setImmediate(() => this.#release())
  }

  #release(): void {
    if (!this.#gathering) return
    this.#gathering = false
    this.#socket.uncork()
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#release()
    this.#socket.destroy()
    // What was written last is on its way through TLS or WebSocket; neither is to hold the connection beyond that.
    if (this.below !== this.#socket) setImmediate(() => this.below.destroy())
    done(error)
  }
}
