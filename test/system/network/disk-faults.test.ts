import { join } from 'node:path'
import t, { type Test } from 'tap'
import { noNetworks } from '../support/net.js'
import { here } from '../support/process.js'
import { Trial, type Role } from '../support/trial.js'

/** The store of each program, in its state folder. */
const STORE = { agent: 'spool', gateway: 'store', relay: 'store' } as const

/** The system call of the engine, and what it meets instead of the disk. */
const FAULTS = [
  ['pwrite64', 'error=EIO'],
  ['pwrite64', 'error=ENOSPC'],
  ['fdatasync', 'error=EIO'],
  ['fdatasync', 'signal=SIGKILL'],
] as const

/** Ends when the program has met the fault and is gone; strace counts calls in each thread by itself. */
async function inject(
  trial: Trial,
  role: Role,
  [call, fault]: (typeof FAULTS)[number],
  nth: number,
): Promise<void> {
  const { t, programs } = trial
  const program = programs[role]
  const file = join(trial[role].stateDir, STORE[role], 'data.mdb')
  const rule = `inject=${call}:${fault}:when=${nth}`
  const strace = here.spawn('strace', [
    ...['-f', '-p', String(program.pid), '-P', file],
    ...['-e', `trace=${call}`, '-e', rule, '-o', `${trial.folder}/strace`],
  ])
  await strace.line(/attached/, 20_000)
  const { code, signal, stderr } = await program.exited(60_000)
  await strace.exited(20_000)
  if (fault.startsWith('signal')) t.equal(signal, 'SIGKILL')
  // The engine itself was seen to die of a write that fails; then there is no code.
  else if (signal !== null) t.match(signal, /^SIG(ABRT|SEGV)$/, `${role}: ${rule}`)
  else t.match({ code, stderr }, { code: 1, stderr: /FW_STORE_FAILED/ }, `${role}: ${rule}`)
}

async function mistreat(t: Test, role: Role): Promise<void> {
  const trial = await Trial.lay(t)
  const { agent, gateway } = trial.hosts
  // A relay writes what nobody fetches.
  if (role === 'relay') agent.unplug('lan')
  for (const [index, fault] of FAULTS.entries()) {
    if (role === 'relay') gateway.unplug('uplink')
    await inject(trial, role, fault, index + 1)
    trial.spawn(role)
    if (role === 'relay') gateway.plug('uplink')
    await trial.flows(`${role}: ${fault.join(' ')}`)
  }
  await trial.settle()
}

void t.test(
  'a write or flush of a store fails, or ends the program: it starts again on what was flushed, and nothing acknowledged is lost',
  { skip: noNetworks(), timeout: 300_000, jobs: 3 },
  async (t) => {
    const roles = ['agent', 'gateway', 'relay'] as const
    await Promise.all(roles.map((role) => t.test(`the store of the ${role}`, (t) => mistreat(t, role))))
  },
)
