import { printable, type Reporter } from '@fieldwhisper/host'
import type { Aedes, Client } from 'aedes'
import type { BrokerLogins, Login } from './broker-logins.js'
import type { BrokerSessions } from './broker-sessions.js'
import { BrokerSocket } from './broker-socket.js'
import { mayRead, mayWrite } from './broker-users.js'
import {
  AGENTS_LEVEL,
  COMMAND_LEVEL,
  MAX_CLIENT_ID_BYTES,
  MAX_CLIENT_PACKET_BYTES,
  MAX_FOREIGN_RETAINED,
  MAX_FOREIGN_RETAINED_BYTES,
  MAX_SUBSCRIPTIONS_PER_CLIENT,
  REASON,
} from './constants.js'

export interface GuardOptions {
  readonly logins: BrokerLogins
  /** First topic level, in which only the gateway publishes. */
  readonly root: string
  readonly sessions: BrokerSessions
  readonly reporter: Reporter
  /** Called for every connection that logged in. */
  readonly admitted: (socket: BrokerSocket) => void
}

export interface Guard {
  /** Ends the connections of those whose login does not hold any more. */
  recheck(): void
}

/** Who may connect to the embedded broker, and what a client may do there. Sets the handlers of `broker`. */
export function guard(broker: Aedes, options: GuardOptions): Guard {
  const { logins, root, sessions, reporter, admitted } = options
  const foreign = new ForeignRetained()
  const loginOf = new WeakMap<Client, Login>()
  const connected = new Map<Client, Login>()

  broker.authenticate = (client, name, given, done) => {
    const refuse = (returnCode: number, message: string): void => {
      done(Object.assign(new Error(message), { returnCode }), null)
    }
    void logins
      .check(name ?? '', given ?? '', () => client.closed)
      .then((login) => {
        if (client.closed) return
        if (login === 'wrong') return refuse(REASON.connackCredentials, 'wrong user or password')
        if (login === 'busy') return refuse(REASON.connackUnavailable, 'too many passwords to check')
        if (Buffer.byteLength(client.id) > MAX_CLIENT_ID_BYTES) {
          return refuse(REASON.connackIdentifier, `client id longer than ${MAX_CLIENT_ID_BYTES} bytes`)
        }
        if (client.clean) sessions.end(client.id)
        else if (!sessions.admit(client.id))
          return refuse(REASON.connackUnavailable, 'too many persistent sessions')
        loginOf.set(client, login)
        connected.set(client, login)
        client.conn.once('close', () => connected.delete(client))
        if (client.conn instanceof BrokerSocket) {
          client.conn.allow(MAX_CLIENT_PACKET_BYTES)
          admitted(client.conn)
        }
        done(null, true)
      })
  }

  broker.authorizePublish = (client, packet, done) => {
    const refusal = publishRefusal(client ? loginOf.get(client) : undefined, packet, root)
    if (refusal !== undefined) return done(new Error(refusal))
    const size = packet.topic.length + packet.payload.length
    if (packet.retain && !foreign.take(packet.topic, packet.payload.length === 0 ? 0 : size)) {
      return done(new Error('retained more than other clients may leave here'))
    }
    done(null)
  }

  broker.authorizeSubscribe = (client, subscription, done) => {
    const refuse = (text: string): void => {
      const fields = { client: client.id, filter: printable(subscription.topic, 200) }
      reporter.event('warn', 'FW_BROKER_CLIENT_REFUSED', text, fields)
      done(null, null)
    }
    const user = loginOf.get(client)?.user
    if (user && !mayRead(user, subscription.topic))
      return refuse('An MQTT client asked for topics that its user may not read; they were refused.')
    if (subscriptionsOf(client) >= MAX_SUBSCRIPTIONS_PER_CLIENT)
      return refuse(
        'An MQTT client asked for more subscriptions than are allowed; the last ones were refused.',
      )
    done(null, subscription)
  }

  // What waited for a persistent session may have been asked for by another user, or under other rules.
  broker.authorizeForward = (client, packet) => {
    const user = loginOf.get(client)?.user
    return user && !mayRead(user, packet.topic) ? null : packet
  }

  const tell = (client: Client, error: Error): void => {
    if (IGNORED.has((error as NodeJS.ErrnoException).code ?? '')) return
    if ('errorCode' in error && error.errorCode === REASON.connackVersion) {
      const text =
        'An MQTT client speaks MQTT 5; the embedded broker speaks 3.1.1 and refused it. Set that client to 3.1.1, or use an external broker (mqtt.url).'
      return reporter.event('warn', 'FW_BROKER_MQTT5', text)
    }
    const text = 'The embedded MQTT broker ended the connection of a client.'
    const fields = { reason: error.message, ...(client.id && { client: client.id }) }
    reporter.event('warn', 'FW_BROKER_CLIENT_REFUSED', text, fields)
  }
  broker.on('clientError', tell)
  broker.on('connectionError', tell)

  return {
    recheck() {
      for (const [client, login] of connected) {
        if (logins.holds(login)) continue
        const text = 'The user of an MQTT client was removed or changed; its connection was ended.'
        reporter.event('info', 'FW_BROKER_USER_CUT', text, { user: login.name, client: client.id })
        client.close()
      }
    },
  }
}

/** Why a client may not publish this, or nothing. */
function publishRefusal(
  login: Login | undefined,
  { topic, retain }: { readonly topic: string; readonly retain: boolean },
  root: string,
): string | undefined {
  const [level, , kind, , last, more] = topic.split('/')
  const user = login?.user
  if (level === '$SYS') return 'published into $SYS/'
  if (level === root) {
    const command = kind === AGENTS_LEVEL && last === COMMAND_LEVEL && more === undefined
    if (!command || !user || !mayWrite(user, topic))
      return `published into ${root}/, where only the gateway publishes`
    return retain ? 'retained a command' : undefined
  }
  return user && !mayWrite(user, topic) ? 'published where its user may not write' : undefined
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
