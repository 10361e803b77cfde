import type { IncomingMessage, ServerResponse } from 'node:http'
import { HTTP_BUDGET, MAX_HTTP_SOURCES } from '../constants.js'
import { TokenBucket } from '@fieldwhisper/host'

export interface RelayHealth {
  /** False when the disk refuses writes: what is held can still be read. */
  readonly ok: boolean
  readonly version: string
  readonly mailboxes: number
  readonly packets: number
  /** Of packets, without overhead. */
  readonly bytes: number
}

export interface HttpOptions {
  readonly health: () => RelayHealth
  readonly lookup: (slot: Uint8Array) => Uint8Array | undefined
  /** See `sourceOf`. */
  readonly source: (request: IncomingMessage) => string | undefined
  readonly nowMs: () => number
}

/** GET /healthz and GET /directory/<slot hex>; everything else is refused. Bodies of requests are never read. */
export function httpHandler(
  options: HttpOptions,
): (request: IncomingMessage, response: ServerResponse) => void {
  const buckets = new Map<string, TokenBucket>()

  function allowed(source: string | undefined): boolean {
    const key = source ?? 'loopback'
    const now = options.nowMs()
    let bucket = buckets.get(key)
    if (!bucket) {
      // The oldest goes: whoever keeps asking from ever new addresses only gets full buckets, at a bounded cost.
      if (buckets.size >= MAX_HTTP_SOURCES) buckets.delete(buckets.keys().next().value!)
      bucket = new TokenBucket(HTTP_BUDGET, now)
      buckets.set(key, bucket)
    }
    return bucket.take(now)
  }

  return (request, response) => {
    const reply = (status: number, type: string, body: Uint8Array | string): void => {
      const bytes = Buffer.from(body)
      response.writeHead(status, {
        'content-type': type,
        'content-length': bytes.length,
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        connection: 'close',
      })
      response.end(request.method === 'HEAD' ? undefined : bytes)
    }
    const text = (status: number, body: string): void =>
      reply(status, 'text/plain; charset=utf-8', `${body}\n`)

    if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'Only GET is answered here.')
    if (!allowed(options.source(request))) return text(429, 'Too many requests.')
    const path = (request.url ?? '').split('?')[0]!
    if (path === '/healthz') {
      const health = options.health()
      return reply(health.ok ? 200 : 503, 'application/json', `${JSON.stringify(health)}\n`)
    }
    const slot = /^\/directory\/([0-9a-f]{32})$/i.exec(path)?.[1]
    if (slot !== undefined) {
      const record = options.lookup(Buffer.from(slot, 'hex'))
      return record ? reply(200, 'application/octet-stream', record) : text(404, 'No record.')
    }
    return path === '/v1' ? text(426, 'This is a WebSocket.') : text(404, 'Nothing is here.')
  }
}
