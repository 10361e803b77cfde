/** What a user installs: free to use, and nothing that fetches more while it is installed. */
import t from 'tap'
import { exists, manifest, read } from '../../support/repository.js'

interface Locked {
  readonly dev?: boolean
  readonly link?: boolean
  readonly license?: string
  readonly resolved?: string
  readonly hasInstallScript?: boolean
}

const allowed = new Set(['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Apache-2.0', 'BlueOak-1.0.0'])

/**
 * Runtime packages with an install script, the script, and what it does. Each takes the binary that is shipped inside a
 * package of the registry, or else compiles its own sources with node-gyp; none downloads a binary.
 */
const installScripts: Readonly<Record<string, string>> = {
  '@serialport/bindings-cpp': 'node-gyp-build',
  'cbor-extract': 'node-gyp-build-optional-packages',
  lmdb: 'node-gyp-build-optional-packages',
  'msgpackr-extract': 'node-gyp-build-optional-packages',
}

/**
 * The same for scripts that run after the installation and install nothing. This one reads the manifest of the installing
 * package and warns of a range of versions that begins with another sign than a tilde.
 */
const afterScripts: Readonly<Record<string, string>> = {
  protobufjs: 'node scripts/postinstall',
}

const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }
const locked = Object.entries(lock.packages).filter(([path]) => path.startsWith('node_modules/'))
const runtime = locked.filter(([, entry]) => entry.dev !== true && entry.link !== true)
const nameOf = (path: string): string =>
  path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)

/** `(MIT OR GPL-3.0)` is a choice, so one allowed name is enough; `A AND B` needs both. */
function isFree(licence: string): boolean {
  return licence
    .replace(/^\((.*)\)$/, '$1')
    .split(' OR ')
    .some((choice) => choice.split(' AND ').every((name) => allowed.has(name)))
}

void t.test('every runtime dependency has a permissive licence', (t) => {
  const broken = runtime.flatMap(([path, entry]) => {
    // The lock file says it for packages of other platforms; the installed manifest has the last word.
    const licence = exists(`${path}/package.json`) ? manifest(path).license : entry.license
    return licence !== undefined && isFree(licence) ? [] : [`${path}: ${String(licence)}`]
  })
  t.same(broken, [])
  t.ok(runtime.length > 20, 'the lock file was read')
  t.end()
})

void t.test('runtime dependencies run only the known install scripts, none of which downloads', (t) => {
  const found = runtime.filter(([, entry]) => entry.hasInstallScript === true).map(([path]) => path)
  t.same(
    [...new Set(found.map(nameOf))].sort(),
    [...Object.keys(installScripts), ...Object.keys(afterScripts)].sort(),
  )
  for (const path of found.filter((path) => exists(`${path}/package.json`))) {
    const scripts = manifest(path).scripts ?? {}
    t.equal(scripts['install'], installScripts[nameOf(path)], `${path} install`)
    t.equal(scripts['preinstall'], undefined, `${path} preinstall`)
    t.equal(scripts['postinstall'], afterScripts[nameOf(path)], `${path} postinstall`)
  }
  t.end()
})

void t.test('the lock file names no registry host', (t) => {
  const hosts = locked.flatMap(([path, entry]) => (/^[a-z+]+:/.test(entry.resolved ?? '') ? [path] : []))
  t.same(hosts, [])
  t.end()
})

void t.test('a choice of licences needs one that is allowed, a sum needs all', (t) => {
  t.ok(isFree('(MIT OR GPL-3.0-only)'))
  t.ok(isFree('MIT AND ISC'))
  t.notOk(isFree('MIT AND GPL-3.0-only'))
  t.notOk(isFree('EPL-2.0'))
  t.end()
})
