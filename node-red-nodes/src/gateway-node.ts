import type { Access } from './connection.js'
import { DEFAULT_TEMPLATE } from './constants.js'
import { readDirectory, TroubleError, type Directory } from './directory.js'
import { PaletteError, type Details } from './errors.js'
import { GatewayLink, type LinkOptions } from './link.js'
import { textOf, type Config, type Node, type Red, type Request, type Response, type TlsNode } from './red.js'

/** What a gateway node is for the other nodes. `say` uses the gateway node's catalogue, so that each sentence stands once. */
export type GatewayHandle = { readonly say: (key: string, details?: Details) => string } & (
  { readonly link: GatewayLink; readonly directory: () => Promise<Directory> } | { readonly problem: string }
)

export interface GatewayNode extends Node {
  readonly fieldwhisper: GatewayHandle
}

const PERMISSION = 'fieldwhisper-gateway.read'

/** The config node, and the list of agents and names that the editor asks for. */
export function registerGateway(RED: Red): void {
  function FieldwhisperGateway(this: Node, config: Config): void {
    RED.nodes.createNode(this, config)
    const say = (key: string, details?: Details): string => RED._(key, details)
    const handle = gatewayHandle(RED, this, config, say)
    Object.assign(this, { fieldwhisper: handle })
    if ('problem' in handle) this.warn(say(handle.problem))
    this.on('close', (_removed, done) => {
      if ('problem' in handle) done()
      else handle.link.stop().then(done, done)
    })
  }
  RED.nodes.registerType('fieldwhisper-gateway', FieldwhisperGateway, {
    credentials: { user: { type: 'text' }, password: { type: 'password' } },
  })
  RED.httpAdmin.get(
    '/fieldwhisper/gateway/:id/directory',
    RED.auth.needsPermission(PERMISSION),
    (request, response) => void answer(RED, request, response),
  )
}

function gatewayHandle(
  RED: Red,
  node: Node,
  config: Config,
  say: (key: string, details?: Details) => string,
): GatewayHandle {
  try {
    const options = settings(RED, node, config)
    const link = new GatewayLink({ ...options, onError: (error) => node.warn(String(error)) })
    return { say, link, directory: shared(() => readDirectory(options, link.topics, options.site)) }
  } catch (error) {
    if (!(error instanceof PaletteError)) throw error
    return { say, problem: error.key }
  }
}

const URL_FORM = /^(mqtts?|wss?):\/\/[^\s/@?#]+(\/[^\s@?#]*)?$/

/** Throws PaletteError `FW_NODERED_SETTINGS_INVALID`. */
function settings(RED: Red, node: Node, config: Config): Access & Pick<LinkOptions, 'template' | 'site'> {
  const refuse = (key: string): never => {
    throw new PaletteError('FW_NODERED_SETTINGS_INVALID', key)
  }
  const url = textOf(config, 'url')
  if (url.length > 300 || !URL_FORM.test(url) || !URL.canParse(url)) refuse('problem.url')
  const { user, password } = node.credentials ?? {}
  const site = textOf(config, 'site')
  const tlsId = /^(mqtts|wss):/.test(url) ? textOf(config, 'tls') : ''
  const tlsNode = tlsId === '' ? undefined : (RED.nodes.getNode(tlsId) as TlsNode | null | undefined)
  if (tlsId !== '' && (!tlsNode?.addTLSOptions || tlsNode.valid === false)) refuse('problem.tls')
  const tls: Record<string, unknown> = {}
  tlsNode?.addTLSOptions?.(tls)
  return {
    url,
    template: textOf(config, 'topic') || DEFAULT_TEMPLATE,
    ...(site !== '' && { site }),
    ...(user !== undefined && user !== '' && { user }),
    ...(password !== undefined && password !== '' && { password }),
    tls,
  }
}

/** One question at a time: whoever asks while one is under way gets its answer. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined
  return () => {
    running ??= ask().finally(() => (running = undefined))
    return running
  }
}

/**
 * `{agents, complete}`, or `{error}` in words: not deployed, its settings, its broker. Not as a failed request: a gateway that is
 * away is no fault of the editor, whose console the browser would fill with it.
 */
async function answer(RED: Red, request: Request, response: Response): Promise<void> {
  response.set('Cache-Control', 'no-store')
  const node = RED.nodes.getNode(request.params['id'] ?? '') as Partial<GatewayNode> | null | undefined
  const handle = node?.fieldwhisper
  if (handle === undefined) {
    response.json({ error: RED._('directory.not-deployed') })
    return
  }
  if ('problem' in handle) {
    response.json({ error: handle.say(handle.problem) })
    return
  }
  try {
    response.json(await handle.directory())
  } catch (error) {
    const { key, details } = error instanceof TroubleError ? error.trouble : UNKNOWN
    response.json({ error: handle.say(key, details) })
  }
}

const UNKNOWN = { key: 'link.closed', details: {} }
