import { createReporter, ensureStateDir, serveControl } from '@fieldwhisper/host'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Agent } from '../../../agent/src/app.js'
import { loadAgentConfig } from '../../../agent/src/config/load.js'
import { temporaryFolder } from '../../support/folder.js'
import { cli, here } from '../../system/support/process.js'

void t.test(
  'an agent that is still starting says so, and shows no number before it has read them',
  async (t) => {
    const folder = temporaryFolder(t)
    const stateDir = join(folder, 'state')
    const file = join(folder, 'agent.yaml')
    writeFileSync(file, 'lan: { enabled: false }\nrelays: []\nsources: []\n')
    const reporter = createReporter({ write: () => undefined })
    ensureStateDir(stateDir, reporter)
    const agent = new Agent({
      stateDir,
      config: loadAgentConfig(file),
      reporter,
      sources: true,
      onFatal: (error) => t.fail(error),
    })
    const control = await serveControl(stateDir, agent.controls(), reporter)
    t.teardown(() => control.close())
    const [node, program] = cli('agent')
    const status = (...more: string[]): ReturnType<typeof here.run> =>
      here.run(node, [program, 'status', '--state', stateDir, ...more])

    const text = await status()
    t.same([text.code, text.stdout], [1, 'The agent is starting.'])
    const json = await status('--json')
    t.same(
      [json.code, JSON.parse(json.stdout)],
      [1, { ok: false, running: false, problems: ['the agent is starting'] }],
    )

    await agent.start()
    t.teardown(() => agent.stop())
    const started = await status('--json')
    t.match(JSON.parse(started.stdout), { spool: { accepted: 0 }, problems: [/no identity/] })
  },
)
