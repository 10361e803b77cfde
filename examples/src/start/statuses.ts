/** What is read of the programs' `status`; each has more. */

export interface RelayReport {
  readonly ok: boolean
  readonly listen: string
  readonly connections: number
  readonly packets: number
}

export interface GatewayReport {
  readonly healthy: boolean
  readonly problems: readonly string[]
  readonly site: string | null
  readonly lan: { readonly port: number | null; readonly links: number } | null
  readonly relays: readonly { readonly url: string; readonly connected: boolean }[]
  readonly mqtt: {
    readonly broker: { readonly address: string; readonly connected: boolean }
    readonly user?: string
    readonly passwordFile?: string
    readonly topics: string
  } | null
}

export interface AgentReport {
  /** In the site; null before it has joined. */
  readonly name: string | null
  readonly spool: { readonly accepted: number; readonly held: number; readonly dropped: number }
  readonly paths: {
    readonly lan: { readonly links: number }
    readonly relays: readonly { readonly url: string; readonly connected: boolean }[]
  }
  readonly sealed: number
  readonly acknowledgedPackets: number
  readonly lost: number
  readonly latest: readonly {
    readonly name: string
    readonly unit?: string
    readonly value: number | string | boolean
    readonly agoMs: number
  }[]
}
