import t from 'tap'
import { here } from '../../system/support/process.js'
import { exists, ladder, manifest, root } from '../../support/repository.js'

/** The commands of each program; a new one is added here with its help. */
const commands: Readonly<Record<string, readonly string[]>> = {
  'fieldwhisper-agent': ['join', 'run', 'status', 'spool', 'leave'],
  'fieldwhisper-gateway': [
    'init',
    'enroll',
    'agents',
    'revoke',
    'rename',
    'relays',
    'run',
    'command',
    'events',
    'broker',
    'status',
  ],
  'fieldwhisper-relay': ['run', 'status'],
}

for (const folder of ladder) {
  for (const [name, built] of Object.entries(manifest(folder).bin ?? {})) {
    // A program whose sources are not there yet has no help; the system tests miss it loudly enough.
    if (!exists(`${folder}/src/cli.ts`)) continue
    void t.test(`${name} explains itself and each of its commands with an example`, async (t) => {
      const help = async (...args: string[]): Promise<string> => {
        const done = await here.run(process.execPath, [`${root}${folder}/${built}`, ...args, '--help'])
        t.equal(done.code, 0, `${[name, ...args].join(' ')} --help exits 0`)
        t.equal(done.stderr, '', 'and prints nothing else')
        return done.stdout
      }
      const overview = await help()
      t.match(overview, /^Examples?:/im)
      for (const command of commands[name] ?? []) {
        t.match(overview, command, `the overview names ${command}`)
        const text = await help(command)
        t.match(text, /^Examples?:/im, `${command} has an example`)
        t.match(text, `${name} ${command}`, `${command} shows how it is called`)
      }
      const wrong = await here.run(process.execPath, [`${root}${folder}/${built}`, 'no-such-command'])
      t.equal(wrong.code, 2, 'a wrong command is a usage error')
      t.match(wrong.stderr, 'no-such-command')
    })
  }
}

void t.test('every program can be linked before anything is built', (t) => {
  for (const folder of ladder) {
    for (const built of Object.values(manifest(folder).bin ?? {})) {
      t.notMatch(built, 'dist/', `${folder}: npm links what exists when it installs`)
      t.ok(exists(`${folder}/${built}`), `${folder}/${built} exists`)
    }
  }
  t.end()
})

void t.test('every program of a manifest has its commands listed here', (t) => {
  const programs = ladder.flatMap((folder) => Object.keys(manifest(folder).bin ?? {}))
  t.same(programs.sort(), Object.keys(commands).sort())
  t.end()
})
