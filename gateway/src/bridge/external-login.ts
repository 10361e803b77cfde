import { GatewayError } from '../errors.js'
import { readPasswordFile } from './broker-password.js'
import type { MqttOutputOptions } from './mqtt-output.js'
import type { ExternalSettings } from './settings.js'

/** How an external broker is reached. Throws GatewayError FW_MQTT_PASSWORD_MISSING, HostError FW_FILE_FAILED (password file). */
export function externalLogin(
  mqtt: ExternalSettings,
): Pick<MqttOutputOptions, 'url' | 'version' | 'user' | 'password' | 'tls'> {
  const { url, version, user, tls } = mqtt
  const password = passwordOf(mqtt)
  return {
    url,
    ...(version !== undefined && { version }),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ...(tls && { tls }),
  }
}

function passwordOf({ password, passwordFile, passwordEnv }: ExternalSettings): string | undefined {
  if (passwordFile !== undefined) return readPasswordFile(passwordFile)
  if (passwordEnv === undefined) return password
  const found = process.env[passwordEnv]
  if (found !== undefined && found !== '') return found
  const text = `The password of the MQTT broker is not there: the variable ${passwordEnv} (mqtt.password_env) is not set.`
  throw new GatewayError('FW_MQTT_PASSWORD_MISSING', text)
}
