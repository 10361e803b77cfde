import t from 'tap'
import { exists, manifest, read } from '../../support/repository.js'

const programs = ['agent', 'gateway', 'relay'] as const

function settings(unit: string): Map<string, string> {
  const lines = unit.split('\n').filter((line) => /^[A-Za-z]+=/.test(line))
  return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

for (const program of programs) {
  void t.test(`the service of the ${program} starts the program that this repository has`, (t) => {
    const unit = settings(read(`deploy/fieldwhisper-${program}.service`))
    const [, bin = '', command] = (unit.get('ExecStart') ?? '').split(' ')
    const path = bin.replace('/opt/fieldwhisper/', '')
    t.equal(path, `${program}/${manifest(program).bin?.[`fieldwhisper-${program}`]?.replace('./', '') ?? ''}`)
    t.ok(exists(path), path)
    t.equal(command, 'run')
    t.match(unit.get('ExecStart'), `--state /var/lib/${unit.get('StateDirectory') ?? '(none)'} `)
    t.equal(unit.get('Restart'), 'always')
    t.equal(unit.get('StateDirectoryMode'), '0700')
    t.match(
      read('deploy/fieldwhisper-sysusers.conf'),
      `u ${unit.get('User') ?? '(none)'} `,
      'its user is made',
    )
    t.end()
  })
}

void t.test('no service forbids what its program needs', (t) => {
  for (const program of programs) {
    const unit = settings(read(`deploy/fieldwhisper-${program}.service`))
    t.notOk(unit.has('MemoryDenyWriteExecute'), `${program}: the JavaScript engine compiles`)
    t.notOk(unit.has('ProcSubset'), `${program}: the boot id stands in /proc/sys`)
    t.match(unit.get('RestrictAddressFamilies'), 'AF_NETLINK', `${program}: interfaces are read by netlink`)
  }
  const agent = settings(read('deploy/fieldwhisper-agent.service'))
  for (const key of ['PrivateDevices', 'ProtectClock', 'PrivateUsers', 'DeviceAllow', 'DevicePolicy']) {
    t.notOk(agent.has(key), `the agent's serial ports survive without ${key}`)
  }
  t.equal(agent.get('SupplementaryGroups'), 'dialout')
  t.end()
})
