/** A Node-RED of its own user folder, with one operator, and its flows printed where they have a debug node. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../support/ports.js'
import { root } from '../../support/repository.js'
import { until } from '../../support/until.js'
import { here, type Program } from './process.js'

const SETTINGS = `module.exports = {
  uiHost: '127.0.0.1',
  flowFile: 'flows.json',
  credentialSecret: 'of the test',
  logging: { console: { level: 'info', audit: false } },
  adminAuth: {
    type: 'credentials',
    users: (name) => Promise.resolve(name === 'operator' ? { username: name, permissions: '*' } : null),
    authenticate: (name, password) =>
      Promise.resolve(name === 'operator' && password === 'of the test' ? { username: name, permissions: '*' } : null),
  },
}
`

export interface NodeRed {
  readonly program: Program
  /** The URL of a path. */
  readonly at: (path: string) => string
  /** Asks as the operator; for `Accept` other than JSON give `headers`. */
  readonly get: (path: string, init?: RequestInit) => Promise<Response>
  /** Nodes of a tab get a place on it if they have none: without one they would count as settings. Credentials by node id. Returns the status code. */
  readonly deploy: (flows: readonly object[], credentials: object) => Promise<number>
  /** Whether a line of its output is like this. */
  readonly said: (pattern: RegExp) => boolean
}

export async function startNodeRed(
  t: { teardown(handler: () => unknown): unknown },
  folder: string,
): Promise<NodeRed> {
  const port = await freePort()
  writeFileSync(join(folder, 'settings.js'), SETTINGS)
  const program = here.spawn(process.execPath, [
    join(root, 'node_modules/node-red/red.js'),
    ...['--userDir', folder, '--settings', join(folder, 'settings.js'), '--port', String(port)],
  ])
  t.teardown(() => program.stop())
  const at = (path: string): string => `http://127.0.0.1:${port}/${path}`
  const answers = (): Promise<boolean> =>
    fetch(at('auth/login')).then(
      ({ ok }) => ok,
      () => false,
    )
  await until(answers, { withinMs: 60_000, what: 'Node-RED answers', everyMs: 200 })
  const login = await fetch(at('auth/token'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_id: 'node-red-editor',
      grant_type: 'password',
      scope: '*',
      username: 'operator',
      password: 'of the test',
    }),
  })
  const { access_token: token } = (await login.json()) as { access_token: string }
  const get: NodeRed['get'] = (path, init = {}) =>
    fetch(at(path), {
      ...init,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        'content-type': 'application/json',
        'node-red-api-version': 'v2',
        ...(init.headers as Record<string, string> | undefined),
      },
    })
  return {
    program,
    at,
    get,
    said: (pattern) => [...program.stdout, ...program.stderr].some((line) => pattern.test(line)),
    deploy: async (flows, credentials) => {
      const placed = flows.map((node) => ('z' in node ? { x: 100, y: 100, ...node } : node))
      const body = JSON.stringify({ flows: placed, credentials })
      return (await get('flows', { method: 'POST', body })).status
    },
  }
}
