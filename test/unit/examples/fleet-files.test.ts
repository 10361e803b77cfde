import t from 'tap'
import { loadRelayConfig } from '@fieldwhisper/relay'
import { loadAgentConfig } from '../../../agent/dist/config/load.js'
import { loadGatewayConfig } from '../../../gateway/dist/config/load.js'
import { files, read, root } from '../../support/repository.js'

const folder = 'examples/sensor-fleet'
const loaders: Readonly<Record<string, (path: string) => unknown>> = {
  'relay.yaml': loadRelayConfig,
  'gateway.yaml': loadGatewayConfig,
  'press-1.yaml': loadAgentConfig,
  'oven-2.yaml': loadAgentConfig,
  'simulated.yaml': loadAgentConfig,
}

void t.test('every file of the fleet is a configuration that its program takes', (t) => {
  const names = files(folder, (path) => path.endsWith('.yaml')).map((path) => path.slice(folder.length + 1))
  t.same(names, Object.keys(loaders).sort())
  for (const [name, load] of Object.entries(loaders)) {
    t.doesNotThrow(() => load(`${root}${folder}/${name}`), name)
  }
  t.end()
})

void t.test('what a user may uncomment is right as well', (t) => {
  for (const name of ['gateway.yaml', 'press-1.yaml']) {
    const text = read(`${folder}/${name}`)
    const blocks = text.match(/(?:^# {0,2}[a-z_]+:.*\n?)+/gm) ?? []
    t.ok(blocks.length > 0, `${name} has such lines`)
    const path = `${t.testdir({ [name]: uncommented(text) })}/${name}`
    t.doesNotThrow(() => loaders[name]?.(path), name)
  }
  t.end()
})

/** A commented block takes the place of what stands above it in the same section. */
function uncommented(text: string): string {
  return text.replace(/ {2}embedded:\n {4}host: .*\n/, '').replace(/^#( {0,2}[a-z_]+:)/gm, '$1')
}

void t.test('the commands of the instructions are commands of the programs', (t) => {
  const lines = read(`${folder}/README.md`).match(/^npx fieldwhisper-.*$/gm) ?? []
  t.ok(lines.length >= 10)
  for (const line of lines) {
    const [, program = '', command = ''] = /^npx fieldwhisper-(\w+) (\w+)/.exec(line) ?? []
    const options = [...line.matchAll(/ (--[a-z]+)/g)].map(([, option = '']) => option)
    const source = read(`${program}/src/cli.ts`)
    t.match(source, new RegExp(`^    ${command}: \\{`, 'm'), `${program} knows ${command}`)
    for (const option of options) {
      t.match(source, new RegExp(`\\b${option.slice(2)}(:|,)`), `${program} knows ${option}`)
    }
    for (const [file] of line.matchAll(/examples\/\S+\.yaml/g)) t.ok(read(file).length > 0, file)
  }
  t.end()
})
