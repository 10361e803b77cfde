import { existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  askControl,
  ensureStateDir,
  openStore,
  serveControl,
  systemCode,
  type Reporter,
} from '@fieldwhisper/host'
import { z } from 'zod'
import { AgentError, starting } from '../errors.js'
import { SPOOL_TABLES } from '../spool/index.js'
import { SpoolView, type SpoolStats, type ViewPlace } from '../spool/view.js'
import { rowOf, type ReadingRow } from './rows.js'

/** A running agent says at once where its spool ends, unless it hangs. */
const FIRST_ANSWER_MS = 5_000
/** Counting the spool of a month takes a small machine some seconds. */
const ANSWER_MS = 60_000

/** What the running agent adds to the numbers of its spool. */
export interface AgentNews {
  readonly name: string | null
  readonly joined: boolean
  /** Packets on their way to the gateway. */
  readonly inFlight: number
  readonly heardAgoMs: number | null
}

/** What `spool stats --json` prints. */
export interface SpoolReport extends SpoolStats {
  /** Null where no agent runs. */
  readonly agent: AgentNews | null
}

export interface RowPage {
  readonly rows: readonly ReadingRow[]
  readonly unreadable: number
  readonly next?: ViewPlace
}

/** The spool, whoever holds it open. */
export interface SpoolSource {
  stats(): Promise<SpoolReport>
  end(): Promise<ViewPlace | undefined>
  page(after: ViewPlace | undefined, atLeast: number, until?: ViewPlace): Promise<RowPage>
}

const place = z.strictObject({
  stream: z.string().regex(/^[0-9a-f]{24}$/),
  number: z.int().min(0).max(0xffff_ffff),
})
const pageArgs = z.object({ after: place.optional(), until: place.optional(), atLeast: z.int().min(1) })

/** Answers of the running agent to `spool` commands; `view` is undefined until its spool is open. */
export function spoolHandlers(
  view: () => SpoolView | undefined,
  news: () => AgentNews,
): Record<string, (args: unknown) => unknown> {
  const opened = (): SpoolView => {
    const found = view()
    if (found) return found
    throw starting()
  }
  return {
    'spool-stats': async () => ({ ...(await opened().stats()), agent: news() }),
    'spool-end': () => opened().end() ?? null,
    'spool-page': (args) => {
      const { after, atLeast, until } = pageArgs.parse(args)
      return pageOf(opened(), after, atLeast, until)
    },
  }
}

/**
 * Gives the spool of a state folder to `use`: through the agent that runs on it, or from its disk, which is not changed. Throws
 * AgentError `FW_AGENT_NO_ANSWER`, `FW_AGENT_STARTING`, `FW_SPOOL_NONE`, and what opening a store throws.
 */
export async function withSpool<T>(
  stateDir: string,
  reporter: Reporter,
  use: (spool: SpoolSource) => Promise<T>,
): Promise<T> {
  if (!existsSync(join(stateDir, 'spool', 'data.mdb'))) {
    throw new AgentError('FW_SPOOL_NONE', `there is no spool in ${stateDir}: is --state the agent's folder?`)
  }
  if (await asked(stateDir, 'spool-end', {}, FIRST_ANSWER_MS)) return use(spoolOfAgent(stateDir))
  ensureStateDir(stateDir, reporter)
  // Holds the folder, so that no agent starts on a spool that is being looked at.
  const control = await serveControl(stateDir, {}, reporter)
  try {
    const dir = join(stateDir, 'spool')
    const store = await openStore({ dir, tables: SPOOL_TABLES, reporter, readOnly: true })
    try {
      return await use(spoolOnDisk(new SpoolView(store)))
    } finally {
      await store.close()
    }
  } finally {
    await control.close()
  }
}

function spoolOnDisk(view: SpoolView): SpoolSource {
  return {
    stats: async () => ({ ...(await view.stats()), agent: null }),
    end: () => Promise.resolve(view.end()),
    page: (after, atLeast, until) => Promise.resolve(pageOf(view, after, atLeast, until)),
  }
}

function spoolOfAgent(stateDir: string): SpoolSource {
  const ask = async (command: string, args: object): Promise<unknown> => {
    const reply = await asked(stateDir, command, args, ANSWER_MS)
    if (reply) return reply.ok
    throw new AgentError('FW_AGENT_NO_ANSWER', `the agent on ${stateDir} ended meanwhile: repeat the command`)
  }
  return {
    stats: async () => (await ask('spool-stats', {})) as SpoolReport,
    end: async () => ((await ask('spool-end', {})) as ViewPlace | null) ?? undefined,
    page: async (after, atLeast, until) => (await ask('spool-page', { after, atLeast, until })) as RowPage,
  }
}

/** The answer of the agent that runs on the folder; undefined where none runs. */
async function asked(
  stateDir: string,
  command: string,
  args: object,
  timeoutMs: number,
): Promise<{ ok: unknown } | undefined> {
  let reply
  try {
    reply = await askControl(stateDir, command, args, { timeoutMs })
  } catch (error) {
    if (systemCode(error) !== 'FW_CONTROL_NO_ANSWER') throw error
    const text = `an agent runs on ${stateDir} and does not answer: it hangs, or waits for its disk. Its spool was not touched. Look at its log, stop it, and repeat the command`
    throw new AgentError('FW_AGENT_NO_ANSWER', text, { cause: error })
  }
  if (!reply || 'ok' in reply) return reply
  const { code, message } = reply.error
  if (code !== 'FW_CONTROL_UNKNOWN_COMMAND') throw new AgentError(code, message)
  const text = `another command works on ${stateDir}, or the agent that runs there is of an older release: repeat the command in a moment`
  throw new AgentError('FW_AGENT_NO_ANSWER', text)
}

function pageOf(
  view: SpoolView,
  after: ViewPlace | undefined,
  atLeast: number,
  until: ViewPlace | undefined,
): RowPage {
  const { readings, unreadable, next } = view.page(after, atLeast, until)
  return { rows: readings.map(rowOf), unreadable, ...(next && { next }) }
}
