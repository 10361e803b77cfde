import t from 'tap'
import { runCut, type Victim } from './sweep.js'

t.setTimeout(600_000)

const VICTIMS: readonly Victim[] = ['gateway', 'agent', 'agent files', 'relay']

void t.test('a power cut at any write of a join, readings and a rekey loses nothing', async (t) => {
  const writes = await runCut(undefined)
  for (const victim of VICTIMS) {
    t.ok(writes[victim] >= 5, `${writes[victim]} writes of the ${victim}`)
    for (let at = 1; at <= writes[victim]; at++) {
      for (const moment of ['before', 'after'] as const) {
        const broken = await runCut({ victim, at, moment }).then(
          () => undefined,
          (error: unknown) => String(error),
        )
        t.equal(broken, undefined, `${victim}: ${moment} write ${at}`)
      }
    }
  }
})
