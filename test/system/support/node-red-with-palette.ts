/** Node-RED as its users start it: this repository's, or the one that FIELDWHISPER_NODE_RED names (the file red.js). */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { freePort } from '../../support/ports.js'
import { root } from '../../support/repository.js'
import { until } from '../../support/until.js'
import { here, type Program } from './process.js'

export const NODE_RED = process.env['FIELDWHISPER_NODE_RED'] ?? join(root, 'node_modules/node-red/red.js')

/** 4 or 5. */
export const NODE_RED_MAJOR = Number(
  (
    JSON.parse(readFileSync(join(dirname(NODE_RED), 'package.json'), 'utf8')) as { version: string }
  ).version.split('.')[0],
)

const settings = (port: number): string => `module.exports = {
  uiHost: '127.0.0.1',
  uiPort: ${port},
  flowFile: 'flows.json',
  credentialSecret: 'of the test',
  telemetry: { enabled: false, updateNotification: false },
  editorTheme: { tours: false },
  logging: { console: { level: 'info', audit: false } },
}
`

export interface RunningNodeRed {
  readonly program: Program
  readonly url: string
}

/** Starts it with the palette installed in `userDir`, as `npm install` of the folder does. */
export async function startNodeRed(userDir: string): Promise<RunningNodeRed> {
  const scope = join(userDir, 'node_modules/@fieldwhisper')
  mkdirSync(scope, { recursive: true })
  symlinkSync(join(root, 'node-red-nodes'), join(scope, 'node-red-nodes'))
  const manifest = { name: 'flows', private: true, dependencies: { '@fieldwhisper/node-red-nodes': '*' } }
  writeFileSync(join(userDir, 'package.json'), JSON.stringify(manifest))
  const port = await freePort()
  const file = join(userDir, 'settings.js')
  writeFileSync(file, settings(port))
  const program = here.spawn(process.execPath, [NODE_RED, '--userDir', userDir, '--settings', file], {
    name: 'node-red',
  })
  const url = `http://127.0.0.1:${port}/`
  await program.line((line) => line.includes('[info]') && line.includes(url), 60_000)
  await until(() => fetch(`${url}settings`).then(({ ok }) => ok), {
    withinMs: 10_000,
    what: 'Node-RED answers',
  })
  return { program, url }
}
