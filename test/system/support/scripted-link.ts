import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  LinkFrameParser,
  packetFrame,
  pongFrame,
  questionFrame,
  type FramePieces,
  type LinkFrame,
} from '@fieldwhisper/mesh'
import { until } from '../../support/until.js'

/** A LAN link as a test drives it: frames out, frames in, nothing by itself. */
export class ScriptedLink {
  readonly packets: Uint8Array[] = []
  readonly records: Uint8Array[] = []
  closed = false
  readonly #socket: Socket
  readonly #parser = new LinkFrameParser()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => {
      this.#parser.push(chunk, (frame) => this.#frame(frame))
    })
    socket.on('error', () => undefined)
    socket.on('close', () => (this.closed = true))
  }

  static async open(port: number, host = '127.0.0.1'): Promise<ScriptedLink> {
    const socket = connect({ host, port, noDelay: true })
    await once(socket, 'connect')
    return new ScriptedLink(socket)
  }

  send(...packets: readonly Uint8Array[]): void {
    this.write(...packets.map(packetFrame))
  }

  write(...frames: readonly FramePieces[]): void {
    this.#socket.write(Buffer.concat(frames.flat()))
  }

  writeRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** The prekey record of a slot. */
  async record(slot: Uint8Array): Promise<Uint8Array> {
    this.write(questionFrame(slot))
    return until(() => this.records[0], { withinMs: 5_000, what: 'the prekey record' })
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.#socket.destroy()
    await once(this.#socket, 'close')
  }

  #frame(frame: LinkFrame): boolean {
    if (frame.type === 'packet') this.packets.push(new Uint8Array(frame.packet))
    if (frame.type === 'record' && frame.record.length > 0) this.records.push(new Uint8Array(frame.record))
    // A sign of life for whatever came, or the other end takes this one for dead.
    if (frame.type !== 'pong') this.write(pongFrame())
    return true
  }
}
