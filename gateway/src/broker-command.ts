import {
  askControl,
  ensureStateDir,
  serveControl,
  UsageError,
  type CliInput,
  type CliOption,
  type ProgramReporter,
} from '@fieldwhisper/host'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { readPasswordFile } from './bridge/broker-password.js'
import {
  loadBrokerUsers,
  newPassword,
  saveBrokerUsers,
  withoutUser,
  withUser,
} from './bridge/broker-users.js'
import type { GatewayConfig } from './config/index.js'
import { GatewayError } from './errors.js'
import { IDENTITY_FILE, STORE_FOLDER } from './identity-file.js'
import { brokerUserTable } from './screens.js'

/*
 * `broker user add|list|remove`: the users of the embedded broker. A running gateway changes its file itself and takes the
 * change up; else this process does, while it keeps a gateway from starting.
 */

export const BROKER_OPTIONS: Readonly<Record<string, CliOption>> = {
  read: {
    type: 'list',
    value: 'FILTER',
    summary: 'topics that the user may subscribe to; without any: everything of this gateway',
  },
  write: {
    type: 'list',
    value: 'FILTER',
    summary: 'topics under which the user may publish; without any: none',
  },
  'password-file': {
    type: 'string',
    value: 'FILE',
    summary: 'the password is the first line of this file; without it one is made and printed',
  },
}

const change = z.discriminatedUnion('do', [
  z.strictObject({
    do: z.literal('add'),
    name: z.string(),
    password: z.string(),
    read: z.array(z.string()),
    write: z.array(z.string()),
  }),
  z.strictObject({ do: z.literal('remove'), name: z.string() }),
  z.strictObject({ do: z.literal('list') }),
])

export type UsersChange = z.output<typeof change>

/** What others may know of a user. */
export interface UserLine {
  readonly name: string
  readonly read: readonly string[]
  readonly write: readonly string[]
}

interface Place {
  readonly stateDir: string
  readonly config: GatewayConfig
  readonly reporter: ProgramReporter
}

/** Only one change at a time: each reads the file, and hashing a password takes a while. */
let turn: Promise<unknown> = Promise.resolve()

/** Carries out a change on disk, then tells `changed`. Throws GatewayError `FW_BROKER_USER_...`, HostError. */
export function changeBrokerUsers(
  { stateDir, reporter }: Pick<Place, 'stateDir' | 'reporter'>,
  args: UsersChange,
  changed: () => void,
): Promise<UserLine[]> {
  const asked = change.parse(args)
  const mine = turn.then(async () => {
    const users = loadBrokerUsers(stateDir, reporter)
    if (asked.do === 'list') return users.map(({ name, read, write }) => ({ name, read, write }))
    const next = asked.do === 'add' ? await withUser(users, asked) : withoutUser(users, asked.name)
    saveBrokerUsers(stateDir, next)
    changed()
    return next.map(({ name, read, write }) => ({ name, read, write }))
  })
  turn = mine.catch(() => undefined)
  return mine
}

export type BrokerRequest =
  | {
      readonly do: 'add'
      readonly name: string
      readonly read: readonly string[]
      readonly write: readonly string[]
      readonly passwordFile?: string
    }
  | { readonly do: 'remove'; readonly name: string }
  | { readonly do: 'list' }

/** The command line's words. Throws UsageError. */
export function readBrokerCommand({ positionals, options }: CliInput): BrokerRequest {
  const [what, verb, name] = positionals
  if (what !== 'user')
    throw new UsageError(
      'Say what of the broker: broker user add NAME, broker user list or broker user remove NAME.',
    )
  const list = (option: string): readonly string[] => (options[option] as string[] | undefined) ?? []
  if (verb === 'list' && name === undefined) return { do: 'list' }
  if ((verb !== 'add' && verb !== 'remove') || name === undefined)
    throw new UsageError('Say what to do: user add NAME, user list or user remove NAME.')
  if (verb === 'remove') return { do: 'remove', name }
  const passwordFile = options['password-file']
  return {
    do: 'add',
    name,
    read: list('read'),
    write: list('write'),
    ...(typeof passwordFile === 'string' && { passwordFile }),
  }
}

/** Carries the command out, by the running gateway or here; gives what to print. */
export async function brokerUsers(place: Place, request: BrokerRequest, json: boolean): Promise<string> {
  const { mqtt } = place.config
  if (request.do === 'add' && !('embedded' in mqtt)) {
    const text = `this gateway uses the broker at ${mqtt.url}: add the user there`
    throw new GatewayError('FW_BROKER_EXTERNAL', text)
  }
  if (request.do !== 'add') {
    const users = await carryOut(place, request)
    if (request.do === 'remove')
      return `${request.name} may not log in any more. A connection of that user was ended.`
    return json ? JSON.stringify(users, null, 2) : brokerUserTable(users)
  }
  const { name, passwordFile, write } = request
  const password = passwordFile === undefined ? newPassword() : readPasswordFile(passwordFile)
  const root = mqtt.topic.split('/', 1)[0]!
  const read = request.read.length > 0 ? request.read : [`${root}/#`]
  await carryOut(place, { do: 'add', name, password, read: [...read], write: [...write] })
  if (json)
    return JSON.stringify({ name, read, write, ...(passwordFile === undefined && { password }) }, null, 2)
  const rules = `${name} may read ${read.join(', ')} and write ${write.length > 0 ? write.join(', ') : 'nothing'}.`
  return passwordFile === undefined
    ? `${rules}\nThe password, which is kept nowhere and not shown again:\n\n${password}`
    : rules
}

async function carryOut(place: Place, asked: UsersChange): Promise<UserLine[]> {
  const { stateDir, reporter } = place
  const reply = await askControl(stateDir, 'broker-users', asked)
  if (reply && 'error' in reply) throw new GatewayError(reply.error.code, reply.error.message)
  if (reply) return reply.ok as UserLine[]
  if (![IDENTITY_FILE, STORE_FOLDER].some((name) => existsSync(join(stateDir, name)))) {
    const text = `${stateDir} is not the state folder of a gateway: give --state DIR`
    throw new GatewayError('FW_NO_GATEWAY_STATE', text)
  }
  ensureStateDir(stateDir, reporter)
  const control = await serveControl(stateDir, {}, reporter)
  try {
    return await changeBrokerUsers(place, asked, () => undefined)
  } finally {
    await control.close()
  }
}
