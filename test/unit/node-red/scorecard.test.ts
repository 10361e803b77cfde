/**
 * The rules that `node-red-dev validate` checks (P01 to P08, N01, N02, D01, D03), as far as they can be checked without its
 * online catalogue, and what Node-RED's rules for packages, help and translations ask besides.
 */
import { createRequire } from 'node:module'
import t from 'tap'
import ts from 'typescript'
import { exists, files, read } from '../../support/repository.js'

const PACKAGE = 'node-red-nodes'
const manifest = JSON.parse(read(`${PACKAGE}/package.json`))
const nodes = Object.entries(manifest['node-red'].nodes as Record<string, string>)
const examples = files(`${PACKAGE}/examples`)

/** What the validator reads of a node's file for the editor: `registerType` with literals, in plain scripts. */
function registered(html: string): { type: string; definition: ts.ObjectLiteralExpression }[] {
  const scripts = [...html.matchAll(/<script type="text\/javascript">([\s\S]*?)<\/script>/g)].map(
    ([, text]) => text!,
  )
  return scripts.flatMap((text) => {
    const found: { type: string; definition: ts.ObjectLiteralExpression }[] = []
    const visit = (node: ts.Node): void => {
      if (ts.isCallExpression(node) && node.expression.getText() === 'RED.nodes.registerType') {
        const [type, definition] = node.arguments
        if (!type || !ts.isStringLiteral(type) || !definition || !ts.isObjectLiteralExpression(definition)) {
          throw new Error('registerType wants a string literal and an object literal')
        }
        found.push({ type: type.text, definition })
      }
      ts.forEachChild(node, visit)
    }
    visit(ts.createSourceFile('x.js', text, ts.ScriptTarget.ES2023, true))
    return found
  })
}

function property(definition: ts.ObjectLiteralExpression, name: string): ts.Expression | undefined {
  const found = definition.properties.find((one) => one.name?.getText() === name)
  return found && ts.isPropertyAssignment(found) ? found.initializer : undefined
}

function keysOf(definition: ts.ObjectLiteralExpression, name: string): string[] {
  const value = property(definition, name)
  return value && ts.isObjectLiteralExpression(value)
    ? value.properties.map((one) => one.name!.getText())
    : []
}

const htmlOf = (path: string): string => read(`${PACKAGE}/${path.replace('.js', '.html')}`)
const localeOf = (path: string, extension: string): string =>
  `${PACKAGE}/${path.replace(/([^/]+)\.js$/, `locales/en-US/$1.${extension}`)}`

void t.test('the package has what the scorecard asks of one', (t) => {
  t.equal(manifest.license, 'MIT', 'P01')
  t.equal(read(`${PACKAGE}/LICENSE`), read('LICENSE'))
  t.ok(exists(`${PACKAGE}/README.md`))
  t.ok(
    manifest.private === true || manifest.repository || manifest.bugs,
    'P03: where to report, once it is published',
  )
  t.match(manifest.name, /^@[a-z-]+\/[a-z-]+$/, 'P04')
  t.ok(manifest.keywords.includes('node-red'), 'P05')
  t.equal(manifest['node-red'].version, '>=4.0.0', 'P06: 4.1 is the maintenance release')
  t.equal(
    manifest.engines.node,
    '>=20.19',
    'P07: what the agent needs, satisfied by the 22.9 that Node-RED 5 needs',
  )
  t.same(
    Object.keys(manifest.dependencies),
    ['@fieldwhisper/agent', 'mqtt'],
    'D01: at most six; ours are two, one of them our own',
  )
  t.equal(manifest.dependencies['@fieldwhisper/agent'], manifest.version, 'of the same release')
  t.equal(manifest.type, 'commonjs')
  const { mqtt } = manifest.dependencies
  t.equal(
    mqtt,
    JSON.parse(read('gateway/package.json')).dependencies.mqtt,
    'D03: as new as the gateway’s own',
  )
  const shipped = [...nodes.map(([, path]) => path), 'examples', 'dist']
  for (const path of shipped) {
    t.ok(
      manifest.files.some((top: string) => path === top || path.startsWith(`${top}/`)),
      `${path} is in the package`,
    )
  }
  t.end()
})

void t.test('every node has a file for the editor that can be read without running it', (t) => {
  const types = nodes.flatMap(([name, path]) => {
    t.match(path, /^nodes\/[a-z-]+\.js$/, 'no .js in a folder, no .cjs')
    const found = registered(htmlOf(path))
    t.same(
      found.map(({ type }) => type),
      [name],
    )
    return found.map(({ type, definition }) => {
      t.match(type, /^fieldwhisper-/, 'N01: a prefix that nobody else has')
      for (const key of keysOf(definition, 'defaults')) {
        t.notMatch(key, /^(.|id|type|wires|inputs|outputs)$/, `${type}: ${key} is not reserved`)
      }
      const category = property(definition, 'category')
      t.ok(category && ts.isStringLiteral(category), `${type}: category`)
      if (category && ts.isStringLiteral(category) && category.text !== 'config') {
        for (const literal of ['icon', 'color', 'inputs', 'outputs', 'paletteLabel']) {
          const value = property(definition, literal)
          t.ok(
            value && (ts.isStringLiteral(value) || ts.isNumericLiteral(value)),
            `${type}: ${literal} is a literal`,
          )
        }
        const icon = property(definition, 'icon') as ts.StringLiteral
        t.match(
          read(`${PACKAGE}/nodes/icons/${icon.text}`),
          /^<svg [^>]*viewBox="0 0 40 60"/,
          `${type}: icon`,
        )
      }
      return { type, config: category?.getText() === "'config'" }
    })
  })
  t.same(
    types.filter(({ config }) => config).map(({ type }) => type),
    ['fieldwhisper-gateway', 'fieldwhisper-agent'],
  )
  t.equal(new Set(types.map(({ type }) => type)).size, nodes.length)
  const gateway = registered(htmlOf('nodes/fieldwhisper-gateway.js'))[0]!.definition
  t.same(keysOf(gateway, 'credentials'), ['user', 'password'])
  t.notOk(
    keysOf(gateway, 'defaults').some((key) => ['user', 'password'].includes(key)),
    'and in no flow',
  )
  const agent = registered(htmlOf('nodes/fieldwhisper-agent.js'))[0]!.definition
  t.same(keysOf(agent, 'credentials'), ['invite'])
  t.notOk(keysOf(agent, 'defaults').includes('invite'), 'nor is the invite')
  t.end()
})

void t.test('the files for the runtime load as Node-RED loads them, and register the same types', (t) => {
  const require = createRequire(import.meta.url)
  for (const [name, path] of nodes) {
    const seen: string[] = []
    const register = require(`../../../${PACKAGE}/${path}`)
    register({
      nodes: { registerType: (type: string) => seen.push(type) },
      httpAdmin: { get: () => undefined },
      auth: { needsPermission: (permission: string) => seen.push(permission) },
    })
    t.same(
      seen,
      name === 'fieldwhisper-gateway' ? [name, 'fieldwhisper-gateway.read'] : [name],
      'the list for the editor wants a permission',
    )
  }
  t.end()
})

void t.test('help has its parts, in order, in plain words', (t) => {
  for (const [name, path] of nodes) {
    const help = read(localeOf(path, 'html'))
    t.ok(
      help.startsWith(`<script type="text/html" data-help-name="${name}">\n  <p>`),
      `${name}: begins with a paragraph`,
    )
    t.same(
      [...help.matchAll(/<h3>(.*?)<\/h3>/g)].map(([, heading]) => heading),
      ['Inputs', 'Outputs', 'Details', 'References'],
      name,
    )
    t.notMatch(help, /<(b|i|strong|em)>/, `${name}: neither bold nor italic`)
    const template = htmlOf(path)
    t.ok(template.includes(`data-template-name="${name}"`), `${name}: has a dialog`)
    t.notMatch(
      template.replace(/<script type="text\/javascript">[\s\S]*/, ''),
      /color:|background:/,
      `${name}: no colours of its own, for dark themes`,
    )
  }
  t.end()
})

/** `a.b` for every text of a catalogue. */
function keys(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value === 'string') return [path.join('.')]
  return Object.entries(value as object).flatMap(([key, inner]) => keys(inner, [...path, key]))
}

void t.test('every text that is asked for is in the catalogue, and every text is asked for', (t) => {
  const sources = files(`${PACKAGE}/src`).map(read).join('\n')
  for (const [name, path] of nodes) {
    const html = htmlOf(path)
    const own = [...html.matchAll(/data-i18n="(?:\[\w+\])?([\w.:-]+)"|node\._\('([\w.-]+)'/g)]
      .map(([, attribute, call]) => attribute ?? call!)
      .filter((key) => !key.startsWith('node-red:'))
    const known = keys(JSON.parse(read(localeOf(path, 'json'))))
    t.same(
      own.filter((key) => !known.includes(key)),
      [],
      `${name}: no text is missing`,
    )
    const built = (key: string): boolean =>
      key.startsWith('status.agent-') && /`status\.agent-\$\{state\}`/.test(sources)
    t.same(
      known.filter((key) => !own.includes(key) && !sources.includes(`'${key}'`) && !built(key)),
      [],
      `${name}: no text is left over`,
    )
  }
  t.end()
})

void t.test('every node is in an example, and examples hold only what every Node-RED has', (t) => {
  const core = ['tab', 'comment', 'debug', 'inject', 'switch', 'catch', 'rbe']
  const own = nodes.map(([name]) => name)
  const used = new Set<string>()
  for (const path of examples) {
    t.match(path, /\.json$/)
    const flow = JSON.parse(read(path)) as {
      id: string
      type: string
      gateway?: string
      agent?: string
      wires?: string[][]
    }[]
    const ids = flow.map(({ id }) => id)
    t.equal(new Set(ids).size, ids.length, `${path}: ids are unique`)
    t.ok(
      flow.some(({ type }) => type === 'comment'),
      `${path}: has a comment`,
    )
    for (const { type, gateway, agent, wires = [] } of flow) {
      used.add(type)
      t.ok(core.includes(type) || own.includes(type), `${path}: ${type}`)
      t.same(
        wires.flat().filter((id) => !ids.includes(id)),
        [],
        `${path}: wires lead somewhere`,
      )
      if (gateway !== undefined) t.ok(ids.includes(gateway), `${path}: its gateway is there`)
      if (type === 'fieldwhisper-publish') t.ok(ids.includes(agent!), `${path}: its agent is there`)
    }
    t.notMatch(read(path), /"credentials"|"password":/, `${path}: no password`)
  }
  t.same(
    own.filter((name) => !used.has(name)),
    [],
    'N02',
  )
  t.end()
})
