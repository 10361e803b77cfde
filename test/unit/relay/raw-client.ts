import { WebSocket } from 'ws'
import { decodeRelayFrames, encodeFrame, packMessages } from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame, RelayFrame } from '@fieldwhisper/mesh/relay-frames'
import type { AddressKey } from '@fieldwhisper/protocol/address'
import { loadRelayConfig, startRelay } from '@fieldwhisper/relay'
import type { RelayConfig, RelayOptions, RunningRelay } from '@fieldwhisper/relay'
import { temporaryFolder } from '../../support/folder.js'
import { within } from '../../support/until.js'

/** Longest wait of these tests for something that comes at once. */
export const SOON_MS = 5_000

export interface Told {
  readonly level: string
  readonly code: string
  readonly text: string
}

export const silent = { event: () => undefined }

/** A reporter that keeps what it was told. */
export function listener(): {
  readonly told: Told[]
  event(level: string, code: string, message: string, fields?: object): void
} {
  const told: Told[] = []
  return {
    told,
    event: (level, code, message, fields) =>
      void told.push({ level, code, text: `${message} ${JSON.stringify(fields ?? {})}` }),
  }
}

export interface TestRelay {
  readonly relay: RunningRelay
  readonly url: string
  readonly http: string
}

type Limits = Partial<RelayConfig['limits']>

/** A relay of this process on a free port of 127.0.0.1, stopped when the test ends. */
export async function testRelay(
  t: { teardown(handler: () => Promise<void>): void },
  options: Partial<RelayOptions> & { readonly limits?: Limits; readonly open?: boolean } = {},
): Promise<TestRelay> {
  const { limits, open, ...rest } = options
  const defaults = loadRelayConfig()
  const relay = await startRelay({
    stateDir: temporaryFolder(t),
    reporter: silent,
    listen: { host: '127.0.0.1', port: 0 },
    config: { ...defaults, open: open ?? true, limits: { ...defaults.limits, ...limits } },
    ...rest,
  })
  t.teardown(() => relay.stop())
  return { relay, url: `ws://127.0.0.1:${relay.port}/v1`, http: `http://127.0.0.1:${relay.port}` }
}

type Kind = RelayFrame['kind']
type FrameOf<K extends Kind> = Extract<RelayFrame, { readonly kind: K }>

/** A client that does nothing by itself. */
export class RawClient {
  readonly ws: WebSocket
  readonly got: RelayFrame[] = []
  readonly closed: Promise<number>
  nonce: Uint8Array = new Uint8Array()
  #request = 0
  readonly #watchers = new Set<() => void>()

  private constructor(ws: WebSocket) {
    this.ws = ws
    ws.on('message', (data: Buffer) => {
      this.got.push(...decodeRelayFrames(new Uint8Array(data)))
      for (const watcher of this.#watchers) watcher()
    })
    this.closed = new Promise((resolve) => ws.on('close', (code) => resolve(code)))
    ws.on('error', () => undefined)
  }

  /** Connected and challenged. */
  static async open(url: string, token?: string): Promise<RawClient> {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const client = new RawClient(new WebSocket(url, { headers, perMessageDeflate: false }))
    client.nonce = (await client.next('challenge')).nonce
    return client
  }

  send(...frames: ClientFrame[]): void {
    for (const message of packMessages(frames.map(encodeFrame))) this.ws.send(message)
  }

  /** The first frame of a kind that `accept` likes, come already or yet to come. */
  next<K extends Kind>(
    kind: K,
    accept: (frame: FrameOf<K>) => boolean = () => true,
    withinMs = SOON_MS,
  ): Promise<FrameOf<K>> {
    const find = (): FrameOf<K> | undefined =>
      this.got.find((frame): frame is FrameOf<K> => frame.kind === kind && accept(frame as FrameOf<K>))
    const coming = new Promise<FrameOf<K>>((resolve, reject) => {
      const watcher = (): void => {
        const frame = find()
        if (!frame) return
        this.#watchers.delete(watcher)
        resolve(frame)
      }
      this.#watchers.add(watcher)
      void this.closed.then((code) => reject(new Error(`closed with ${code} before a ${kind} frame came`)))
      watcher()
    })
    return within(coming, { withinMs, what: `a ${kind} frame` })
  }

  /** Resolves when `count` frames of that kind are there. */
  async count(kind: Kind, count: number, withinMs = SOON_MS): Promise<void> {
    const enough = (): boolean => this.got.filter((frame) => frame.kind === kind).length >= count
    const coming = new Promise<void>((resolve) => {
      const watcher = (): void => {
        if (!enough()) return
        this.#watchers.delete(watcher)
        resolve()
      }
      this.#watchers.add(watcher)
      watcher()
    })
    await within(coming, { withinMs, what: `${count} ${kind} frames` })
  }

  async prove(
    key: AddressKey,
    wish: { create?: boolean; subscribe?: boolean; name?: string } = {},
  ): Promise<number> {
    const request = ++this.#request
    const { create = false, subscribe = false, name = '127.0.0.1' } = wish
    const signature = key.sign(this.nonce, name)
    this.send({ kind: 'prove', request, create, subscribe, publicKey: key.publicKey, signature })
    return (await this.next('proved', (frame) => frame.request === request)).status
  }

  async deposit(packet: Uint8Array): Promise<FrameOf<'stored'>> {
    const request = ++this.#request
    this.send({ kind: 'deposit', request, packet })
    return this.next('stored', (frame) => frame.request === request)
  }

  async publish(slot: Uint8Array, record: Uint8Array): Promise<number> {
    const request = ++this.#request
    this.send({ kind: 'publish', request, slot, record })
    return (await this.next('proved', (frame) => frame.request === request)).status
  }

  packets(): Uint8Array[] {
    return this.got.flatMap((frame) => (frame.kind === 'packet' ? [Uint8Array.from(frame.packet)] : []))
  }

  close(): Promise<number> {
    this.ws.terminate()
    return this.closed
  }
}
