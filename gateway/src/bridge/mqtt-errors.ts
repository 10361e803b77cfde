import { systemCode } from '@fieldwhisper/host'

import { GatewayError } from '../errors.js'
import { REASON } from './constants.js'

export interface MqttTrouble {
  readonly code:
    | 'FW_MQTT_CREDENTIALS_REFUSED'
    | 'FW_MQTT_CERTIFICATE_WRONG'
    | 'FW_MQTT_CERTIFICATE_REFUSED'
    | 'FW_MQTT_TLS_FILES'
    | 'FW_MQTT_VERSION'
    | 'FW_MQTT_UNREACHABLE'
    | 'FW_MQTT_LOST'
  /** For the person at the machine; names the broker's address, never the password. */
  readonly message: string
}

/** Nobody answers, or not as a broker does. */
const SYSTEM: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at this port',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'its name cannot be looked up now',
  EHOSTUNREACH: 'there is no way to this host',
  ENETUNREACH: 'there is no way to this network',
  ETIMEDOUT: 'it does not answer',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'it speaks no TLS at this port: mqtt:// or ws:// belongs there, or another port',
  EPROTO: 'it speaks no TLS that this machine knows',
}

/** What Node says of a certificate that it does not take. */
const CERTIFICATE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'it signed itself. Name that certificate, or the authority that should have signed it, as mqtt.tls.ca',
  SELF_SIGNED_CERT_IN_CHAIN:
    'it is of an unknown authority. Name the certificate of that authority as mqtt.tls.ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'it is of an unknown authority. Name the certificate of that authority as mqtt.tls.ca',
  UNABLE_TO_GET_ISSUER_CERT:
    'it is of an unknown authority. Name the certificate of that authority as mqtt.tls.ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'it is of an unknown authority. Name the certificate of that authority as mqtt.tls.ca',
  CERT_SIGNATURE_FAILURE: 'it is not signed by the authority that it names',
  CERT_HAS_EXPIRED: 'it has expired. Renew it at the broker, and look at the clock of this machine',
  CERT_NOT_YET_VALID: 'it is not valid yet. Look at the clock of this machine and at that of the broker',
  CERT_REVOKED: 'it was revoked. Give the broker a new one',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'it is made out for another name. Use that name in mqtt.url, or name it as mqtt.tls.servername',
  INVALID_PURPOSE: 'it is not made for servers',
  CERT_UNTRUSTED: 'it is not trusted for servers',
  CERT_REJECTED: 'it is not trusted for servers',
}

/** TLS alerts with which a broker says what it thinks of our certificate; the names differ between versions of OpenSSL. */
const ALERTS: readonly (readonly [RegExp, string])[] = [
  [/ALERT_CERTIFICATE_REQUIRED$/, 'it wants one. Name mqtt.tls.cert and mqtt.tls.key'],
  [
    /ALERT_HANDSHAKE_FAILURE$/,
    'it wants one, or another kind of encryption. Name mqtt.tls.cert and mqtt.tls.key',
  ],
  [/ALERT_UNKNOWN_CA$/, 'it does not know the authority that signed it'],
  [/ALERT_CERTIFICATE_EXPIRED$/, 'it has expired. Renew it'],
  [/ALERT_CERTIFICATE_REVOKED$/, 'it was revoked'],
  [
    /ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_UNKNOWN|ACCESS_DENIED|DECRYPT_ERROR)$/,
    'it is not one that it takes',
  ],
]

/** Reason codes that end or refuse a connection (MQTT 5.0, section 2.4), and the few of MQTT 3.1.1. */
const REFUSED: Readonly<Record<number, string>> = {
  2: 'it does not take the name of this client',
  3: 'it is not ready',
  [REASON.unspecified]: 'it gives no reason',
  [REASON.malformed]: 'it could not read what was sent',
  [REASON.protocolError]: 'it could not make sense of what was sent',
  [REASON.implementation]: 'what was sent is not supported there',
  [REASON.clientIdInvalid]: 'it does not take the name of this client',
  [REASON.notAuthorised]: 'its rules forbid what was asked',
  [REASON.unavailable]: 'it is not ready',
  [REASON.busy]: 'it has too much to do',
  [REASON.shuttingDown]: 'it is being shut down',
  [REASON.keepAliveTimeout]: 'it did not hear from this gateway in time',
  [REASON.takenOver]:
    'another client took over under the same name. Is there a second gateway with the keys of this one?',
  [REASON.topicFilterInvalid]: 'it does not take a topic filter',
  [REASON.topicNameInvalid]: 'it does not take a topic',
  [REASON.receiveMaximum]: 'more messages were on their way than it allows',
  [REASON.packetTooLarge]: 'a message is larger than it allows',
  [REASON.rateTooHigh]: 'more is sent than it allows',
  [REASON.quotaExceeded]: 'a quota there is used up',
  [REASON.administrative]: 'somebody ended it there',
  [REASON.payloadInvalid]: 'it does not take the form of a message',
  [REASON.retainUnsupported]: 'it keeps no current values (retained messages)',
  [REASON.qosUnsupported]: 'it does not acknowledge messages (QoS 1)',
  [REASON.useAnother]: 'another server is to be used',
  [REASON.moved]: 'it has moved to another server',
  [REASON.connectionRate]: 'too many connections are made to it',
  [REASON.maximumConnectTime]: 'the longest time that it allows for a connection is over',
}

/** What an error of the client library means. `connected`: it came after CONNACK. */
export function mqttTrouble(error: unknown, address: string, connected: boolean): MqttTrouble {
  const code = systemCode(error)
  if (code === 'FW_MQTT_TLS_FILES') return { code, message: (error as Error).message }
  const broker = `The MQTT broker at ${address}`
  if (!connected) {
    const refused = credentialsText(code)
    if (refused !== undefined)
      return { code: 'FW_MQTT_CREDENTIALS_REFUSED', message: `${broker} ${refused}.` }
    if (isVersionRefusal(error))
      return {
        code: 'FW_MQTT_VERSION',
        message: `${broker} does not speak this version of MQTT. Set mqtt.version to auto.`,
      }
    const wrong = typeof code === 'string' ? CERTIFICATE[code] : undefined
    if (wrong !== undefined) {
      const message = `The certificate of the MQTT broker at ${address} is not accepted: ${wrong}.`
      return { code: 'FW_MQTT_CERTIFICATE_WRONG', message }
    }
    const alert = typeof code === 'string' ? ALERTS.find(([pattern]) => pattern.test(code)) : undefined
    if (alert) {
      const message = `${broker} does not accept the certificate of this gateway: ${alert[1]}.`
      return { code: 'FW_MQTT_CERTIFICATE_REFUSED', message }
    }
  }
  const reason = reasonOf(error, code)
  if (connected)
    return {
      code: 'FW_MQTT_LOST',
      message: `The connection to the MQTT broker at ${address} broke: ${reason}.`,
    }
  return { code: 'FW_MQTT_UNREACHABLE', message: `${broker} cannot be reached: ${reason}.` }
}

/** Whether a CONNECT was refused for its version of MQTT, in the words of 5 or of 3.1.1. */
export function isVersionRefusal(error: unknown): boolean {
  const code = systemCode(error)
  return code === REASON.versionUnsupported || code === REASON.connackVersion
}

function credentialsText(code: string | number | undefined): string | undefined {
  switch (code) {
    case REASON.connackCredentials:
    case REASON.credentials:
      return 'refuses user or password'
    case REASON.connackNotAuthorised:
    case REASON.notAuthorised:
      return 'does not let this user in: user or password are wrong, or it may not connect'
    case REASON.banned:
      return 'has shut this gateway out'
    case REASON.authenticationMethod:
      return 'wants another way of logging in than user and password'
    default:
      return undefined
  }
}

function reasonOf(error: unknown, code: string | number | undefined): string {
  const known = typeof code === 'string' ? SYSTEM[code] : typeof code === 'number' ? REFUSED[code] : undefined
  if (known !== undefined) return known
  if (error === undefined) return 'it closed the connection'
  if (typeof code === 'number') return `it refused with code ${code}`
  const text = error instanceof Error ? error.message : ''
  if (text === 'Keepalive timeout') return 'it stopped answering'
  if (text === 'connack timeout') return 'something accepts the connection and does not speak MQTT'
  const status = /^Unexpected server response: (\d{3})$/.exec(text)?.[1]
  if (status !== undefined)
    return `what answers there offers no WebSocket for MQTT at this path (HTTP status ${status})`
  return typeof code === 'string' ? code : 'the client library gives no known reason'
}

/** A publish that the broker did not take: for good (see `isRefusal`) or for now. */
export function publishError(error: unknown): GatewayError {
  const [code, message] = publishText(systemCode(error))
  return new GatewayError(code, message, { cause: error })
}

function publishText(code: string | number | undefined): readonly [code: string, message: string] {
  switch (code) {
    case REASON.notAuthorised:
      return [
        'FW_MQTT_TOPIC_FORBIDDEN',
        'The rules of the MQTT broker forbid this gateway to publish under a topic.',
      ]
    case REASON.topicNameInvalid:
      return ['FW_MQTT_TOPIC_INVALID', 'The MQTT broker does not take a topic of this gateway.']
    case REASON.payloadInvalid:
      return ['FW_MQTT_PAYLOAD_INVALID', 'The MQTT broker does not take the form of a message.']
    case REASON.packetTooLarge:
      return ['FW_MQTT_PACKET_TOO_LARGE', 'A message is larger than the MQTT broker allows.']
    case REASON.quotaExceeded:
      return [
        'FW_MQTT_QUOTA',
        'A quota of the MQTT broker is used up; it takes no messages. They are tried again for ever.',
      ]
    case REASON.unspecified:
    case REASON.implementation:
      return [
        'FW_MQTT_PUBLISH_FAILED',
        'The MQTT broker does not take a message and does not say why. It is tried again for ever.',
      ]
    default:
      return ['FW_MQTT_NOT_CONNECTED', 'The MQTT broker is not connected.']
  }
}
