import { systemCode } from '@fieldwhisper/host'

import { CONNACK_BAD_CREDENTIALS, CONNACK_NOT_AUTHORIZED } from './constants.js'

export interface MqttTrouble {
  readonly code: 'FW_MQTT_CREDENTIALS_REFUSED' | 'FW_MQTT_UNREACHABLE' | 'FW_MQTT_LOST'
  /** For the person at the machine; names the broker's address, never the password. */
  readonly message: string
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at this port',
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'its name cannot be looked up now',
  EHOSTUNREACH: 'there is no way to this host',
  ENETUNREACH: 'there is no way to this network',
  ETIMEDOUT: 'it does not answer',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
}

/** What an error of the client library means. `connected`: it came after CONNACK. */
export function mqttTrouble(error: unknown, address: string, connected: boolean): MqttTrouble {
  const code = systemCode(error)
  if (!connected && code === CONNACK_BAD_CREDENTIALS) {
    const message = `The MQTT broker at ${address} refuses user or password.`
    return { code: 'FW_MQTT_CREDENTIALS_REFUSED', message }
  }
  if (!connected && code === CONNACK_NOT_AUTHORIZED) {
    const message = `The MQTT broker at ${address} does not let this user in: user or password are wrong, or it may not connect.`
    return { code: 'FW_MQTT_CREDENTIALS_REFUSED', message }
  }
  const reason = reasonOf(error, code)
  if (connected)
    return {
      code: 'FW_MQTT_LOST',
      message: `The connection to the MQTT broker at ${address} broke: ${reason}.`,
    }
  return {
    code: 'FW_MQTT_UNREACHABLE',
    message: `The MQTT broker at ${address} cannot be reached: ${reason}.`,
  }
}

function reasonOf(error: unknown, code: string | number | undefined): string {
  const known = typeof code === 'string' ? REASONS[code] : undefined
  if (known !== undefined) return known
  if (error === undefined) return 'it closed the connection'
  if (typeof code === 'number') return `it refused with code ${code}`
  const text = error instanceof Error ? error.message : ''
  if (text === 'Keepalive timeout') return 'it stopped answering'
  if (text === 'connack timeout') return 'something accepts the connection and does not speak MQTT'
  return typeof code === 'string' ? code : 'the client library gives no known reason'
}
