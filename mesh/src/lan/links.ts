import type { Socket } from 'node:net'
import type { Reporter } from '@fieldwhisper/host'
import { admit, type InboundLink } from './admission.js'
import { LINK_TICK_MS, LINK_TIMING, type LinkTiming } from './constants.js'
import { Dialler } from './dialler.js'
import { packetFrame, questionFrame, recordFrame, type LinkFrame, type FramePieces } from './frames.js'
import { Link, type LinkEnd } from './link.js'
import { LinkServer } from './link-server.js'
import { QuietReporter } from './quiet.js'
import { plainAddress, type LinkTarget } from './target.js'

/** What is known of an open link. `target` is there when it was dialled from here. */
export interface LinkInfo {
  /** Never used twice in a process. */
  readonly id: number
  readonly address: string
  readonly port: number
  readonly target?: LinkTarget
  /** Monotonic milliseconds. */
  readonly since: number
}

export interface LinkEvents {
  opened(link: LinkInfo): void
  packet(link: number, packet: Uint8Array): void
  question(link: number, slot: Uint8Array): void
  record(link: number, record: Uint8Array, hints: readonly LinkTarget[]): void
  /** Once for every `opened`. */
  closed(link: number, end: LinkEnd): void
  /** A `dial` came to nothing: nobody there, or nobody who speaks like us. */
  dialFailed(target: LinkTarget): void
}

export interface LinksOptions {
  readonly listen?: { readonly host?: string; readonly port?: number }
  /** Inbound links at most; half of them for useful ones. */
  readonly maxInbound: number
  readonly timing?: LinkTiming
  readonly tickMs?: number
  readonly reporter: Reporter
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly events: LinkEvents
}

interface Entry extends InboundLink {
  readonly link: Link
  readonly info: LinkInfo
  useful: boolean
}

const SOFT_CLOSE_MS = 500

/** All TCP links of this device: those that came in, within limits, and those that were dialled. */
export class Links {
  readonly #options: LinksOptions
  readonly #events: LinkEvents
  readonly #server: LinkServer
  readonly #dialler = new Dialler()
  readonly #quiet: QuietReporter
  readonly #entries = new Map<number, Entry>()
  readonly #tickMs: number
  #ticker: NodeJS.Timeout | undefined
  #lastTick = 0
  #nextId = 1
  #paused = false
  #stopped = false

  constructor(options: LinksOptions) {
    this.#options = options
    this.#events = options.events
    this.#quiet = new QuietReporter(options.reporter, options.now)
    this.#tickMs = options.tickMs ?? LINK_TICK_MS
    this.#server = new LinkServer({
      ...options.listen,
      connection: (socket) => this.#cameIn(socket),
      reporter: this.#quiet,
    })
  }

  /** The TCP port on which links come in; undefined while it cannot listen. */
  get port(): number | undefined {
    return this.#server.port
  }

  async start(): Promise<void> {
    this.#lastTick = this.#options.now()
    this.#ticker = setInterval(() => this.#tick(), this.#tickMs)
    await this.#server.start()
  }

  /** Sends what waits, at most half a second long, and closes everything. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#ticker)
    this.#dialler.stop()
    const links = [...this.#entries.values()].map(({ link }) => link.closeSoftly(SOFT_CLOSE_MS))
    await Promise.all([this.#server.stop(), ...links])
  }

  /** Answered by `opened` with this target, or by `dialFailed`. */
  dial(target: LinkTarget): void {
    void this.#dialler.dial(target).then((socket) => {
      if (socket === undefined) this.#events.dialFailed(target)
      else if (this.#stopped) socket.destroy()
      else this.#add(socket, target).ping()
    })
  }

  /** Open links, in the order of opening. */
  list(): (LinkInfo & { readonly useful: boolean; readonly bufferedBytes: number })[] {
    return [...this.#entries.values()]
      .filter(({ link }) => link.isOpen)
      .map(({ link, info, useful }) => ({ ...info, useful, bufferedBytes: link.bufferedBytes }))
  }

  /** False: no such link, or 256 KiB wait for it already; the packet was not offered. */
  sendPacket(link: number, packet: Uint8Array): boolean {
    return this.#send(link, packetFrame(packet))
  }

  sendQuestion(link: number, slot: Uint8Array): boolean {
    return this.#send(link, questionFrame(slot))
  }

  sendRecord(link: number, record: Uint8Array, hints: readonly LinkTarget[]): boolean {
    return this.#send(link, recordFrame(record, hints))
  }

  /** It delivered something that opened: its place is not for strangers. */
  markUseful(link: number): void {
    const entry = this.#entries.get(link)
    if (entry !== undefined) entry.useful = true
  }

  close(link: number): void {
    this.#entries.get(link)?.link.close('given up')
  }

  /** Stops or resumes reading from every link, those to come included. */
  setPaused(paused: boolean): void {
    this.#paused = paused
    for (const { link } of this.#entries.values()) link.setPaused(paused)
  }

  #send(id: number, pieces: FramePieces): boolean {
    return this.#entries.get(id)?.link.send(pieces) ?? false
  }

  #cameIn(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress ?? '')
    const local = address === plainAddress(socket.localAddress ?? '') || address.startsWith('127.')
    const inbound = [...this.#entries.values()].filter(({ info }) => info.target === undefined)
    const admission = admit(inbound, { address, local }, this.#options.now(), this.#options.maxInbound)
    if (this.#stopped || address === '' || !admission.accept) {
      socket.on('error', () => undefined)
      socket.destroy()
      if (!this.#stopped && address !== '') this.#refused(address, inbound.length)
      return
    }
    if (admission.evict !== undefined) this.#entries.get(admission.evict)?.link.close('evicted')
    this.#add(socket)
  }

  #add(socket: Socket, target?: LinkTarget): Link {
    const id = this.#nextId++
    const address = plainAddress(socket.remoteAddress ?? target?.address ?? '')
    const local = address === plainAddress(socket.localAddress ?? '') || address.startsWith('127.')
    const since = this.#options.now()
    const info: LinkInfo = { id, address, port: socket.remotePort ?? 0, since, ...(target && { target }) }
    let opened = false
    const link = new Link(socket, this.#options.timing ?? LINK_TIMING, this.#options.now, {
      opened: () => {
        opened = true
        this.#events.opened(info)
      },
      frame: (frame) => this.#frame(id, frame),
      closed: (end) => {
        this.#entries.delete(id)
        this.#report(info, end)
        if (opened) this.#events.closed(id, end)
        else if (target !== undefined) this.#events.dialFailed(target)
      },
    })
    this.#entries.set(id, { id, address, local, since, useful: false, link, info })
    if (this.#paused) link.setPaused(true)
    return link
  }

  #frame(id: number, frame: LinkFrame): void {
    if (frame.type === 'packet') this.#events.packet(id, frame.packet)
    else if (frame.type === 'question') this.#events.question(id, frame.slot)
    else if (frame.type === 'record') this.#events.record(id, frame.record, frame.hints)
  }

  #tick(): void {
    const now = this.#options.now()
    const late = now - this.#lastTick - this.#tickMs
    this.#lastTick = now
    // After a stall of this process, what others sent meanwhile is read before anybody is called silent.
    for (const { link } of [...this.#entries.values()]) link.tick(late > this.#tickMs ? late : 0)
  }

  #refused(address: string, inbound: number): void {
    const text = `no room for another link from ${address}: ${inbound} of ${this.#options.maxInbound} links came in`
    this.#quiet.event('warn', 'FW_LAN_LINK_REFUSED', text, { address, inbound })
  }

  #report({ address, target }: LinkInfo, end: LinkEnd): void {
    if (end === 'ended' || end === 'given up' || end === 'evicted') return
    const level = end === 'FW_LAN_LINK_SILENT' || end === 'FW_LAN_LINK_STALLED' ? 'info' : 'warn'
    this.#quiet.event(level, end, `${END_TEXT[end]} (${address})`, { address, dialled: target !== undefined })
  }
}

const END_TEXT: Record<Exclude<LinkEnd, 'ended' | 'given up' | 'evicted'>, string> = {
  FW_LAN_FRAME_EMPTY: 'a LAN link was closed: it brought a frame of length 0',
  FW_LAN_FRAME_TOO_LONG: 'a LAN link was closed: it announced a frame above 20,480 bytes',
  FW_LAN_FRAME_MALFORMED: 'a LAN link was closed: it brought a frame that breaks its format',
  FW_LAN_FRAME_LATE: 'a LAN link was closed: a frame took longer than 10 s',
  FW_LAN_FIRST_FRAME_LATE: 'a LAN link was closed: it brought no frame in its first 5 s',
  FW_LAN_LINK_SILENT: 'a LAN link was closed: the other end no longer answers',
  FW_LAN_LINK_STALLED: 'a LAN link was closed: the other end has read nothing for 30 s',
}
