import {
  asError,
  askControl,
  ensureStateDir,
  openStore,
  serveControl,
  systemClock,
  systemRandom,
  type ProgramReporter,
  type SnapshotStore,
} from '@fieldwhisper/host'
import type { RelayInfo } from '@fieldwhisper/protocol'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import {
  GATEWAY_TABLES,
  keepEvents,
  openGatewayRunningTime,
  openGatewayStore,
  toldRelays,
  type Gateway,
} from './app.js'
import { changeBrokerUsers, type UsersChange } from './broker-command.js'
import { writeBackup } from './backup/make.js'
import { command, type CommandLine } from './command.js'
import { lastOutboxSequence } from './bridge/outbox-position.js'
import type { GatewayConfig } from './config/index.js'
import { GatewayCore } from './core/gateway-core.js'
import type { Ports } from './core/ports.js'
import { GatewayError } from './errors.js'
import { MAX_EVENTS, storedEvents, type EventFilter, type EventLine } from './event-list.js'
import { loadIdentity, STORE_FOLDER } from './identity-file.js'
import { addRelay, loadRelayList, removeRelay, saveRelayList } from './relay-list.js'
import { agentLines, type AgentLine } from './status.js'

const eventFilter = z.object({
  sinceMs: z.number().exactOptional(),
  level: z.enum(['debug', 'info', 'warn', 'error']).exactOptional(),
  count: z.int().min(1).max(MAX_EVENTS),
})

/*
 * The operator's commands. They are the same whether the gateway runs (then it carries them out, asked over its control socket) or
 * not (then this process opens the state, carries them out, and closes it).
 */

export interface OperatorCommands {
  enroll: { readonly name: string; readonly replace: boolean; readonly confirm: boolean }
  agents: Record<string, never>
  revoke: { readonly name: string }
  rename: { readonly name: string; readonly to: string }
  confirm: { readonly name: string }
  clone: { readonly name: string; readonly decision: 'keep' | 'replace' }
  relays: { readonly add?: RelayInfo; readonly remove?: string }
}

export interface OperatorReplies {
  enroll: string
  agents: AgentLine[]
  revoke: null
  rename: null
  confirm: null
  clone: null
  relays: RelayInfo[]
}

interface Place {
  readonly stateDir: string
  readonly config: GatewayConfig
  readonly reporter: ProgramReporter
}

type Carried = { [C in keyof OperatorCommands]: (args: OperatorCommands[C]) => Promise<OperatorReplies[C]> }

/** How each command is carried out on a core; `relaysChanged` connects and tells the agents where there is somebody to tell. */
export function carry(core: GatewayCore, place: Place, relaysChanged: () => Promise<void>): Carried {
  return {
    enroll: ({ name, replace, confirm }) => core.enroll(checkedName(name), { replace, confirm }),
    agents: () => Promise.resolve(agentLines(core)),
    revoke: async ({ name }) => {
      await core.revoke(name)
      return null
    },
    rename: async ({ name, to }) => {
      await core.rename(name, checkedName(to))
      return null
    },
    confirm: async ({ name }) => {
      await core.agree(name)
      return null
    },
    clone: async ({ name, decision }) => {
      await core.decideClone(name, decision)
      return null
    },
    relays: async ({ add, remove }) => {
      const { stateDir, reporter } = place
      if (add ?? remove) {
        let relays = loadRelayList(stateDir, reporter)
        if (remove !== undefined) relays = removeRelay(relays, remove)
        if (add)
          relays = addRelay(
            relays,
            add,
            toldRelays(place).filter(({ url }) => url !== remove),
          )
        saveRelayList(stateDir, relays)
        await relaysChanged()
      }
      return toldRelays(place)
    },
  }
}

/** Handlers for the control socket of a running gateway. */
export function controlHandlers(
  gateway: () => Gateway | undefined,
  place: Place,
): Record<string, (args: unknown) => unknown> {
  const runningCore = (): GatewayCore => {
    const found = gateway()
    if (found?.core) return found.core
    throw found?.identified === false
      ? new GatewayError('FW_IDENTITY_MISSING', 'this gateway has no identity: restore it from a backup')
      : starting()
  }
  const running = (): Carried =>
    carry(runningCore(), place, () => gateway()?.relaysChanged() ?? Promise.resolve())
  return {
    status: () => {
      const found = gateway()
      if (!found?.started) throw starting()
      return found.status()
    },
    events: (args) => {
      const events = gateway()?.events
      if (!events) throw starting()
      return events.list(eventFilter.parse(args))
    },
    backup: (args) => {
      const store = gateway()?.store
      if (!store) throw starting()
      return writeBackup(place.stateDir, store, args)
    },
    'broker-users': (args) => {
      const changed = (): void => gateway()?.brokerUsersChanged()
      return changeBrokerUsers(place, args as UsersChange, changed)
    },
    enroll: (args) => running().enroll(args as OperatorCommands['enroll']),
    agents: () => running().agents({}),
    revoke: (args) => running().revoke(args as OperatorCommands['revoke']),
    rename: (args) => running().rename(args as OperatorCommands['rename']),
    confirm: (args) => running().confirm(args as OperatorCommands['confirm']),
    clone: (args) => running().clone(args as OperatorCommands['clone']),
    relays: (args) => running().relays(args as OperatorCommands['relays']),
    command: (args): Promise<CommandLine> => command(runningCore(), args),
  }
}

/** Carries out one command, by the running gateway or here. Throws GatewayError, HostError. */
export async function operate<C extends keyof OperatorCommands>(
  place: Place,
  command: C,
  args: OperatorCommands[C],
): Promise<OperatorReplies[C]> {
  const reply = await askControl(place.stateDir, command, args)
  if (reply && 'error' in reply) throw new GatewayError(reply.error.code, reply.error.message)
  if (reply) return reply.ok as OperatorReplies[C]
  return offline(place, (core) => carry(core, place, () => core.setRelays(toldRelays(place)))[command](args))
}

/** What happened, newest last: from the running gateway, or from the disk of one that does not run. */
export async function events({ stateDir, reporter }: Place, filter: EventFilter): Promise<EventLine[]> {
  const reply = await askControl(stateDir, 'events', filter)
  if (reply && 'error' in reply) throw new GatewayError(reply.error.code, reply.error.message)
  if (reply) return reply.ok as EventLine[]
  return withStoreToRead(stateDir, reporter, (store) => Promise.resolve(storedEvents(store, filter)))
}

/** Holds the state folder of a gateway that does not run, and gives its store to be read. */
export async function withStoreToRead<T>(
  stateDir: string,
  reporter: ProgramReporter,
  use: (store: SnapshotStore) => Promise<T>,
): Promise<T> {
  const dir = join(stateDir, STORE_FOLDER)
  if (!existsSync(dir)) {
    throw new GatewayError(
      'FW_NO_GATEWAY_STATE',
      `${stateDir} is not the state folder of a gateway: give --state DIR`,
    )
  }
  ensureStateDir(stateDir, reporter)
  const control = await serveControl(stateDir, {}, reporter)
  try {
    const store = await openStore({ dir, tables: GATEWAY_TABLES, reporter, readOnly: true })
    try {
      return await use(store)
    } finally {
      await store.close()
    }
  } finally {
    await control.close()
  }
}

function starting(): GatewayError {
  return new GatewayError('FW_GATEWAY_STARTING', 'the gateway is starting: repeat the command in a moment')
}

/** A core without sockets on the stored state, for one command. */
export async function offline<T>(place: Place, run: (core: GatewayCore) => Promise<T>): Promise<T> {
  const { stateDir, reporter } = place
  const identity = loadIdentity(stateDir, reporter)
  if (!identity)
    throw new GatewayError(
      'FW_IDENTITY_MISSING',
      `${stateDir} has no site yet: run fieldwhisper-gateway init first`,
    )
  ensureStateDir(stateDir, reporter)
  const control = await serveControl(stateDir, {}, reporter)
  const failed = new AbortController()
  const failure = new Promise<never>((_resolve, reject) => {
    failed.signal.addEventListener('abort', () => reject(asError(failed.signal.reason)))
  })
  const onFatal = (error: unknown): void => failed.abort(error)
  try {
    const store = await openGatewayStore(stateDir, reporter, onFatal)
    try {
      const clock = systemClock()
      const running = await openGatewayRunningTime(store, clock, reporter)
      const events = keepEvents(store, clock, running, reporter)
      let sequence = lastOutboxSequence(store)
      const core = new GatewayCore({
        store,
        identity,
        ports: nobody(reporter, onFatal),
        clock,
        random: systemRandom,
        running: () => running.nowMs(),
        nextSequence: () => ++sequence,
        noRoom: () => 'outbox-full',
        freeBallast: () => false,
        relays: toldRelays(place),
      })
      const result = await Promise.race([run(core), failure])
      await core.stop()
      await events.stop()
      await running.stop()
      return result
    } finally {
      await store.close()
    }
  } finally {
    await control.close()
  }
}

function nobody(reporter: ProgramReporter, fatal: Ports['fatal']): Ports {
  const nothing = (): void => undefined
  return {
    send: () => false,
    deposit: nothing,
    discard: nothing,
    renew: nothing,
    hold: nothing,
    release: nothing,
    publish: nothing,
    openHello: nothing,
    useful: nothing,
    agentGone: nothing,
    committed: nothing,
    fatal,
    report: (level, code, message, fields) => reporter.event(level, code, message, fields),
  }
}

/** A name is a level of MQTT topics and a word in commands: no white space or control characters, 1 to 64 bytes. */
function checkedName(name: unknown): string {
  if (
    typeof name !== 'string' ||
    !/^[^\s\p{C}/+#$][^\s\p{C}/+#]*$/u.test(name) ||
    Buffer.byteLength(name) > 64
  ) {
    throw new GatewayError(
      'FW_NAME_INVALID',
      'a name has 1 to 64 bytes, without spaces, and without / + # (such as pump-7)',
    )
  }
  return name
}
