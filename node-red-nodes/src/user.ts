import { PaletteError } from './errors.js'
import type { GatewayNode } from './gateway-node.js'
import type { GatewayLink } from './link.js'
import { textOf, type Config, type Node, type Red, type Status } from './red.js'

/** A node that uses a gateway: its way to it, and its status. */
export interface User {
  /** Undefined where no usable gateway is chosen; the status says so. */
  readonly link: GatewayLink | undefined
  /** What the node is about changed: the status is written anew. */
  readonly refresh: () => void
  /** An error in the words of the catalogue. */
  readonly explain: (error: unknown) => Error
}

export interface UserOptions {
  /** The status while the connection is well. */
  status(link: GatewayLink): Status
  /** Called once when the node is closed; the deploy waits for it. */
  closed?(): void | Promise<void>
}

/** Joins a node to the gateway of its configuration and releases everything when the node is closed. */
export function useGateway(RED: Red, node: Node, config: Config, options: UserOptions): User {
  const id = textOf(config, 'gateway')
  const found = id === '' ? undefined : (RED.nodes.getNode(id) as Partial<GatewayNode> | null | undefined)
  const handle = found?.fieldwhisper
  const link = handle && 'link' in handle ? handle.link : undefined
  const say = handle?.say ?? ((key: string): string => RED._(key))

  let shown = ''
  let open = true
  const show = (status: Status): void => {
    const text = JSON.stringify(status)
    if (text === shown || !open) return
    shown = text
    node.status(status)
  }
  const refresh = (): void => {
    if (!link) {
      const problem = handle && 'problem' in handle ? say(handle.problem) : RED._('status.no-gateway')
      return show({ fill: 'red', shape: 'ring', text: problem })
    }
    const badge = link.badge()
    if (badge === undefined) return show(options.status(link))
    const { key, details, ...rest } = badge
    show({ ...rest, text: say(key, details) })
  }
  const leave = link?.join(refresh)
  refresh()

  node.on('close', (_removed, done) => {
    open = false
    leave?.()
    Promise.resolve(options.closed?.()).then(
      () => done(),
      () => done(),
    )
  })
  return {
    link,
    refresh,
    explain(error) {
      if (!(error instanceof PaletteError)) return error instanceof Error ? error : new Error(String(error))
      const { code, key, details, cause } = error
      return Object.assign(new Error(say(key, details), cause === undefined ? {} : { cause }), { code })
    },
  }
}
