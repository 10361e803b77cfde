/** The part of Node-RED's runtime API (4.x and 5.x) that these nodes use. */

export interface Status {
  readonly fill?: 'red' | 'green' | 'yellow' | 'blue' | 'grey'
  readonly shape?: 'ring' | 'dot'
  readonly text?: string
}

export type Message = Record<string, unknown>
export type Send = (message: Message | readonly (Message | null)[]) => void
export type Done = (error?: Error) => void

export interface Config {
  readonly id: string
  readonly type: string
  readonly [property: string]: unknown
}

export interface Node {
  readonly id: string
  readonly credentials?: Readonly<Record<string, string | undefined>>
  on(event: 'input', listener: (message: Message, send: Send, done: Done) => void): void
  on(event: 'close', listener: (removed: boolean, done: () => void) => void): void
  send: Send
  status(status: Status): void
  warn(text: string): void
}

/** What a `tls-config` node of Node-RED offers. */
export interface TlsNode extends Node {
  readonly valid?: boolean
  addTLSOptions?(options: Record<string, unknown>): void
}

export interface Request {
  readonly params: Readonly<Record<string, string | undefined>>
}

export interface Response {
  set(name: string, value: string): Response
  json(body: unknown): void
}

export type Middleware = (request: Request, response: Response, next: () => void) => void

export interface Red {
  readonly nodes: {
    createNode(node: Node, config: Config): void
    getNode(id: string): Node | null | undefined
    registerType(
      type: string,
      constructor: (this: Node, config: Config) => void,
      options?: { readonly credentials: Readonly<Record<string, { readonly type: 'text' | 'password' }>> },
    ): void
  }
  readonly settings: { readonly userDir?: string }
  readonly auth: { needsPermission(permission: string): Middleware }
  readonly httpAdmin: {
    get(path: string, permission: Middleware, handler: (request: Request, response: Response) => void): void
  }
  readonly util: { cloneMessage(message: Message): Message }
  /** The sentence of this key in the catalogue of the node that was registered with this object. */
  _(key: string, details?: Readonly<Record<string, string | number>>): string
}

/** A text of a node's configuration; anything else that an old or damaged flow holds counts as empty. */
export function textOf(config: Config, property: string): string {
  const value = config[property]
  return typeof value === 'string' ? value.trim() : ''
}
