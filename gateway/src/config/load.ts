import { loadConfig, parseConfig } from '@fieldwhisper/host'
import { dirname, resolve } from 'node:path'
import type { MqttSettings } from '../bridge/settings.js'
import { gatewayConfigSchema, type GatewayConfig } from './schema.js'

/**
 * The configuration in a file, or the defaults without one. Paths in it start at the file's folder. Throws HostError
 * `FW_CONFIG_UNREADABLE` or `FW_CONFIG_INVALID` with line and path of every problem.
 */
export function loadGatewayConfig(path?: string): GatewayConfig {
  if (path === undefined) return parseConfig('', gatewayConfigSchema, 'defaults')
  const { state, mqtt, relay, ...rest } = loadConfig(path, gatewayConfigSchema)
  const at = (file: string): string => resolve(dirname(path), file)
  return {
    ...rest,
    ...(state !== undefined && { state: at(state) }),
    mqtt: mqttAt(mqtt, at),
    relay: relay.tls ? { ...relay, tls: { cert: at(relay.tls.cert), key: at(relay.tls.key) } } : relay,
  }
}

function mqttAt(mqtt: MqttSettings, at: (file: string) => string): MqttSettings {
  if ('embedded' in mqtt) {
    const { tls } = mqtt.embedded
    if (!tls) return mqtt
    return { ...mqtt, embedded: { ...mqtt.embedded, tls: { ...tls, cert: at(tls.cert), key: at(tls.key) } } }
  }
  const { passwordFile, tls } = mqtt
  return {
    ...mqtt,
    ...(passwordFile !== undefined && { passwordFile: at(passwordFile) }),
    ...(tls && {
      tls: {
        ...tls,
        ...(tls.ca !== undefined && { ca: at(tls.ca) }),
        ...(tls.cert !== undefined && { cert: at(tls.cert) }),
        ...(tls.key !== undefined && { key: at(tls.key) }),
      },
    }),
  }
}
