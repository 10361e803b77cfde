import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { MAX_MESSAGE_BYTES } from './constants.js'
import type { RelayTarget } from './url.js'

/** Why an attempt or a connection ended; `code` where the operator should be told something particular. */
export interface RelayFailure extends Cause {
  /** The relay was there and ended it, or what was there is another. */
  readonly answered: boolean
}

interface Cause {
  readonly reason: string
  readonly code?: 'FW_RELAY_TOKEN_REFUSED' | 'FW_RELAY_CERTIFICATE_WRONG'
}

export interface DialHandlers {
  /** `member`: the relay knows our access token. Undefined where it does not say. */
  readonly onOpen: (member: boolean | undefined) => void
  readonly onMessage: (message: Uint8Array) => void
  /** Any sign of life beside messages. */
  readonly onHeard: () => void
  /** Once, whatever happened before. */
  readonly onClosed: (failure: RelayFailure) => void
}

const CERTIFICATE_WRONG = 'FW_RELAY_CERTIFICATE_WRONG'
/** Codes of Node for certificates that ordinary verification refuses. */
const CERTIFICATE_ERRORS = /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|FW_RELAY_CERTIFICATE_WRONG)/

export interface RelayDial {
  readonly ws: WebSocket
  /** Ends the attempt or connection at once; `onClosed` gets this reason. */
  readonly fail: (reason: string) => void
}

/** Opens a WebSocket to a relay: no compression, bounded messages, the access token only to the right certificate. */
export function dialRelay(
  target: RelayTarget,
  token: string | undefined,
  timeoutMs: number,
  handlers: DialHandlers,
): RelayDial {
  let pinned: TLSSocket | undefined
  let failure: Cause | undefined
  let answered = false
  const { fingerprint } = target
  const ws = new WebSocket(target.url, {
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handshakeTimeout: timeoutMs,
    followRedirects: false,
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
    ...(fingerprint !== undefined && {
      // The request gets its socket when the certificate has been seen: nothing is sent before.
      createConnection: ((_options: unknown, done: Connected): undefined => {
        pinned = connectPinned(target, fingerprint, done)
      }) as never,
    }),
  })

  let member: boolean | undefined
  ws.on('upgrade', (response: IncomingMessage) => {
    answered = true
    const access = response.headers['fieldwhisper-access']
    member = access === 'member' ? true : access === 'stranger' ? false : undefined
  })
  ws.on('open', () => handlers.onOpen(member))
  ws.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) handlers.onMessage(data)
  })
  ws.on('ping', () => handlers.onHeard())
  ws.on('pong', () => handlers.onHeard())
  ws.on('unexpected-response', (_request, response: IncomingMessage) => {
    answered = true
    failure = refused(response.statusCode)
    ws.terminate()
  })
  ws.on('error', (error: NodeJS.ErrnoException) => {
    failure ??= broken(error)
  })
  ws.on('close', (code: number) => {
    pinned?.destroy()
    failure ??= { reason: code === 1006 ? 'the connection broke' : `closed with code ${code}` }
    handlers.onClosed({ ...failure, answered: answered || failure.code === CERTIFICATE_WRONG })
  })
  return {
    ws,
    fail(reason) {
      failure ??= { reason }
      ws.terminate()
    },
  }
}

type Connected = (error: Error | null, socket?: TLSSocket) => void

function connectPinned({ url, name }: RelayTarget, fingerprint: string, done: Connected): TLSSocket {
  const socket = connectTls({
    host: name,
    port: Number(url.port || 443),
    ALPNProtocols: ['http/1.1'],
    ...(isIP(name) === 0 && { servername: name }),
    // The pin replaces names, issuers and dates: exactly this certificate and no other.
    rejectUnauthorized: false,
  })
  socket.once('error', (error: Error) => done(error))
  socket.once('secureConnect', () => {
    const shown = socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase()
    if (shown === fingerprint) return done(null, socket)
    socket.destroy()
    const error = new Error('the relay shows another certificate than the one that was agreed')
    done(Object.assign(error, { code: CERTIFICATE_WRONG }))
  })
  return socket
}

function refused(status: number | undefined): Cause {
  if (status === 401)
    return { reason: 'the relay wants another access token', code: 'FW_RELAY_TOKEN_REFUSED' }
  if (status === 503) return { reason: 'the relay has no room for another connection' }
  return { reason: `the relay answered with HTTP status ${status ?? 'unknown'}` }
}

function broken(error: NodeJS.ErrnoException): Cause {
  if (CERTIFICATE_ERRORS.test(error.code ?? '')) return { reason: error.message, code: CERTIFICATE_WRONG }
  return { reason: error.code ?? error.message }
}
