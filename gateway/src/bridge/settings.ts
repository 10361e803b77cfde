import type { TlsListener, WebSocketListener } from './embedded-broker.js'
import type { ExpiryRule } from './expiry.js'
import type { MqttTls, MqttVersion } from './mqtt-output.js'
import type { Replay } from './outbox-queue.js'
import type { PayloadFormat } from './payload-format.js'

/** `mqtt:` of the gateway's configuration. */
export type MqttSettings = EmbeddedSettings | ExternalSettings

interface PublishSettings {
  /** Template of the readings' topics. */
  readonly topic: string
  readonly payload: PayloadFormat
  readonly expire: readonly ExpiryRule[]
  readonly replay: Replay
  /** Absent: Home Assistant is told nothing. */
  readonly homeAssistant?: { readonly prefix: string }
  /** Absent: there is no Sparkplug edge node. */
  readonly sparkplug?: SparkplugSettings
}

/** `mqtt.sparkplug` of the gateway's configuration. */
export interface SparkplugSettings {
  /** The name of the site if absent. */
  readonly group?: string
  readonly edge: string
  /** The primary host that births wait for. */
  readonly hostId?: string
  readonly acceptLegacyState: boolean
}

export interface EmbeddedSettings extends PublishSettings {
  readonly embedded: {
    readonly host: string
    readonly port?: number
    readonly tls?: TlsListener
    readonly websocket?: WebSocketListener
  }
}

export interface ExternalSettings extends PublishSettings {
  readonly url: string
  readonly version?: MqttVersion
  readonly user?: string
  /** One of these at most. */
  readonly password?: string
  readonly passwordFile?: string
  /** Name of a variable of the environment. */
  readonly passwordEnv?: string
  readonly tls?: MqttTls
}
