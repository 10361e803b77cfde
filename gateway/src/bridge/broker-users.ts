import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import { randomText, readJsonFile, writeJsonFile, type Reporter } from '@fieldwhisper/host'
import { z } from 'zod'
import { GatewayError } from '../errors.js'
import {
  BROKER_USERS_FILE,
  EMBEDDED_USER,
  MAX_BROKER_USERS,
  MAX_FILTER_BYTES,
  MAX_GIVEN_PASSWORD_BYTES,
  MAX_TOPIC_LEVELS,
  MAX_USER_FILTERS,
  MAX_USER_NAME_BYTES,
  MIN_PASSWORD_LENGTH,
  PASSWORD_BYTES,
  SCRYPT,
} from './constants.js'
import { covers, isFilter } from './mqtt-filter.js'

/** Somebody who may log in at the embedded broker, beside the gateway's own user. */
export interface BrokerUser {
  readonly name: string
  /** `scrypt-14-8-1.<salt>.<hash>`, both in base64url. */
  readonly hash: string
  /** Topic filters: what may be subscribed to, and where may be published. */
  readonly read: readonly string[]
  readonly write: readonly string[]
}

const filters = z
  .array(z.string().refine((text) => isFilter(text, MAX_FILTER_BYTES, MAX_TOPIC_LEVELS)))
  .max(MAX_USER_FILTERS)
const schema = z
  .strictObject({
    version: z.literal(1),
    users: z
      .array(
        z.strictObject({
          name: z.string().refine(isUserName),
          hash: z.string().regex(/^scrypt-14-8-1\.[\w-]{22}\.[\w-]{43}$/),
          read: filters,
          write: filters,
        }),
      )
      .max(MAX_BROKER_USERS),
  })
  .transform(({ users }): readonly BrokerUser[] => users)

/** Throws HostError `FW_FILE_FAILED`, `FW_FILE_NEWER`; a file that does not read is set aside, and then there is nobody. */
export function loadBrokerUsers(stateDir: string, reporter: Reporter): readonly BrokerUser[] {
  return readJsonFile(join(stateDir, BROKER_USERS_FILE), { schema, reporter }) ?? []
}

/** Mode 0600. Throws HostError `FW_FILE_FAILED`. */
export function saveBrokerUsers(stateDir: string, users: readonly BrokerUser[]): void {
  writeJsonFile(join(stateDir, BROKER_USERS_FILE), { version: 1, users }, 2)
}

export interface NewUser {
  readonly name: string
  readonly password: string
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** Throws GatewayError `FW_BROKER_USER_INVALID`, `FW_BROKER_USER_EXISTS`, `FW_BROKER_USERS_FULL`. */
export async function withUser(users: readonly BrokerUser[], added: NewUser): Promise<readonly BrokerUser[]> {
  const { name, password, read, write } = added
  const invalid = (why: string): GatewayError => new GatewayError('FW_BROKER_USER_INVALID', why)
  if (!isUserName(name))
    throw invalid(
      `a user has a name of 1 to ${MAX_USER_NAME_BYTES} bytes without spaces, and not ${EMBEDDED_USER}, which is the gateway's own`,
    )
  if (password.length < MIN_PASSWORD_LENGTH || Buffer.byteLength(password) > MAX_GIVEN_PASSWORD_BYTES)
    throw invalid(`a password has at least ${MIN_PASSWORD_LENGTH} characters`)
  if (read.length > MAX_USER_FILTERS || write.length > MAX_USER_FILTERS)
    throw invalid(`a user has at most ${MAX_USER_FILTERS} filters to read and as many to write`)
  const wrong = [...read, ...write].find((text) => !isFilter(text, MAX_FILTER_BYTES, MAX_TOPIC_LEVELS))
  if (wrong !== undefined)
    throw invalid(
      `"${wrong.slice(0, 100)}" is no topic filter: levels between slashes, + for one level, # at the end for all that follow`,
    )
  if (users.some((user) => user.name === name))
    throw new GatewayError(
      'FW_BROKER_USER_EXISTS',
      `there is a user ${name} already: remove it first, to give it other rules or another password`,
    )
  if (users.length >= MAX_BROKER_USERS)
    throw new GatewayError(
      'FW_BROKER_USERS_FULL',
      `the embedded broker takes at most ${MAX_BROKER_USERS} users`,
    )
  return [...users, { name, hash: await hashPassword(password), read, write }]
}

/** Throws GatewayError `FW_BROKER_USER_UNKNOWN`. */
export function withoutUser(users: readonly BrokerUser[], name: string): readonly BrokerUser[] {
  const left = users.filter((user) => user.name !== name)
  if (left.length === users.length)
    throw new GatewayError('FW_BROKER_USER_UNKNOWN', `the embedded broker has no user ${name}`)
  return left
}

export function mayRead({ read }: BrokerUser, filter: string): boolean {
  return read.some((allowed) => covers(allowed, filter))
}

export function mayWrite({ write }: BrokerUser, topic: string): boolean {
  return write.some((allowed) => covers(allowed, topic))
}

/** 32 characters that can be typed. */
export function newPassword(): string {
  return randomText(PASSWORD_BYTES)
}

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SCRYPT.saltBytes)
  const hash = await derive(password, salt)
  return `scrypt-14-8-1.${salt.toString('base64url')}.${hash.toString('base64url')}`
}

export async function isPasswordOf(hash: string, given: Uint8Array | string): Promise<boolean> {
  const [, salt = '', expected = ''] = hash.split('.')
  return timingSafeEqual(
    await derive(given, Buffer.from(salt, 'base64url')),
    Buffer.from(expected, 'base64url'),
  )
}

function derive(password: Uint8Array | string, salt: Uint8Array): Promise<Buffer> {
  const { N, r, p, hashBytes } = SCRYPT
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hashBytes, { N, r, p }, (error, hash) => {
      if (error) reject(error)
      else resolve(hash)
    })
  })
}

function isUserName(name: string): boolean {
  return (
    /^[^\s\p{C}]+$/u.test(name) && Buffer.byteLength(name) <= MAX_USER_NAME_BYTES && name !== EMBEDDED_USER
  )
}
