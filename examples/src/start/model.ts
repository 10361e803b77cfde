/** What `npm start` shows at one moment; everything on the screen is a function of this and the size of the terminal. */
export interface View {
  readonly site: string
  /** State folder as the user would type it. */
  readonly folder: string
  readonly upMs: number
  /** What is being waited for; absent when all is under way. */
  readonly step?: string
  readonly programs: readonly ProgramView[]
  readonly sensors: readonly Sensor[]
  /** Absent until the agent answers for the first time. */
  readonly counts?: Counts
  readonly mqtt?: MqttAccess
  readonly warning?: Warning
}

export interface ProgramView {
  readonly name: string
  readonly state: 'starting' | 'running' | 'restarting' | 'stopped'
  /** What matters of it: a port, a number of links. */
  readonly detail: string
}

export type Path = 'lan' | 'relay'
export type Value = number | string | boolean | null

export interface Sensor {
  readonly name: string
  readonly unit?: string
  readonly value: Value
  /** How the copy came that MQTT has; absent: this value has not arrived yet. */
  readonly path?: Path
  readonly ageMs: number
}

export interface Counts {
  readonly sealed: number
  readonly acknowledged: number
  /** Readings of which the gateway has not said that it has them. */
  readonly held: number
  readonly lost: number
  /** Of the newest reading in MQTT. */
  readonly lastPath?: Path
}

export interface MqttAccess {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** Finds every reading. */
  readonly topic: string
  readonly connected: boolean
}

export interface Warning {
  readonly atMs: number
  readonly program: string
  readonly text: string
}
