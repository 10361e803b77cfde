import type { Reporter } from '@fieldwhisper/host'
import type { Aedes, Client } from 'aedes'
import { sameSecret } from './broker-password.js'
import type { BrokerSessions } from './broker-sessions.js'
import { BrokerSocket } from './broker-socket.js'
import {
  CONNACK_BAD_CREDENTIALS,
  EMBEDDED_USER,
  MAX_CLIENT_ID_BYTES,
  MAX_CLIENT_PACKET_BYTES,
  MAX_FOREIGN_RETAINED,
  MAX_FOREIGN_RETAINED_BYTES,
  MAX_SUBSCRIPTIONS_PER_CLIENT,
} from './constants.js'

export interface GuardOptions {
  readonly password: string
  /** First topic level, in which only the gateway publishes. */
  readonly root: string
  readonly sessions: BrokerSessions
  readonly reporter: Reporter
  /** Called for every connection that logged in. */
  readonly admitted: (socket: BrokerSocket) => void
}

const CONNACK_IDENTIFIER_REJECTED = 2
const CONNACK_UNAVAILABLE = 3

/** Who may connect to the embedded broker, and what a client may do there. Sets the handlers of `broker`. */
export function guard(broker: Aedes, options: GuardOptions): void {
  const { password, root, sessions, reporter, admitted } = options
  const foreign = new ForeignRetained()

  broker.authenticate = (client, user, given, done) => {
    const right = [sameSecret(user ?? '', EMBEDDED_USER), sameSecret(given ?? '', password)].every(Boolean)
    const refuse = (returnCode: number, message: string): void => {
      done(Object.assign(new Error(message), { returnCode }), null)
    }
    if (!right) return refuse(CONNACK_BAD_CREDENTIALS, 'wrong user or password')
    if (Buffer.byteLength(client.id) > MAX_CLIENT_ID_BYTES) {
      return refuse(CONNACK_IDENTIFIER_REJECTED, `client id longer than ${MAX_CLIENT_ID_BYTES} bytes`)
    }
    if (client.clean) sessions.end(client.id)
    else if (!sessions.admit(client.id)) return refuse(CONNACK_UNAVAILABLE, 'too many persistent sessions')
    if (client.conn instanceof BrokerSocket) {
      client.conn.allow(MAX_CLIENT_PACKET_BYTES)
      admitted(client.conn)
    }
    done(null, true)
  }

  broker.authorizePublish = (_client, packet, done) => {
    const level = packet.topic.split('/', 1)[0]
    if (level === root) return done(new Error(`published into ${root}/, where only the gateway publishes`))
    if (level === '$SYS') return done(new Error('published into $SYS/'))
    const size = packet.topic.length + packet.payload.length
    if (packet.retain && !foreign.take(packet.topic, packet.payload.length === 0 ? 0 : size)) {
      return done(new Error('retained more than other clients may leave here'))
    }
    done(null)
  }

  broker.authorizeSubscribe = (client, subscription, done) => {
    if (subscriptionsOf(client) < MAX_SUBSCRIPTIONS_PER_CLIENT) return done(null, subscription)
    const text = 'An MQTT client asked for more subscriptions than are allowed; the last ones were refused.'
    reporter.event('warn', 'FW_BROKER_CLIENT_REFUSED', text, { client: client.id })
    done(null, null)
  }

  const tell = (client: Client, error: Error): void => {
    if (IGNORED.has((error as NodeJS.ErrnoException).code ?? '')) return
    const text = 'The embedded MQTT broker ended the connection of a client.'
    const fields = { reason: error.message, ...(client.id && { client: client.id }) }
    reporter.event('warn', 'FW_BROKER_CLIENT_REFUSED', text, fields)
  }
  broker.on('clientError', tell)
  broker.on('connectionError', tell)
}

/** Clients that just went away. */
const IGNORED = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'])

/** aedes keeps them on the client without declaring it. */
function subscriptionsOf(client: Client): number {
  return Object.keys((client as unknown as { subscriptions: object }).subscriptions).length
}

/** Bounds what other clients leave retained outside the gateway's topics. */
class ForeignRetained {
  readonly #sizes = new Map<string, number>()
  #bytes = 0

  /** `size` 0 removes. False if there is no room. */
  take(topic: string, size: number): boolean {
    const old = this.#sizes.get(topic) ?? 0
    if (size > 0 && old === 0 && this.#sizes.size >= MAX_FOREIGN_RETAINED) return false
    if (this.#bytes - old + size > MAX_FOREIGN_RETAINED_BYTES) return false
    this.#bytes += size - old
    if (size > 0) this.#sizes.set(topic, size)
    else this.#sizes.delete(topic)
    return true
  }
}
