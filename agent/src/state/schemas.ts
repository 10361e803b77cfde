import { z } from 'zod'

/*
 * State files are JSON with bytes in hexadecimal, one file a matter, each written durably and 0600 (DESIGN 10).
 */

const bytes = (length?: number): z.ZodType<Uint8Array, string> =>
  z
    .string()
    .regex(length === undefined ? /^([0-9a-f]{2})*$/ : new RegExp(`^[0-9a-f]{${2 * length}}$`))
    .transform((text) => new Uint8Array(Buffer.from(text, 'hex')))

const count = z.int().min(0).max(0xffff_ffff)
const version = z.literal(1)

const relays = z
  .array(
    z
      .strictObject({ url: z.string(), token: z.string().optional(), fingerprint: z.string().optional() })
      .transform(({ url, token, fingerprint }) => ({
        url,
        ...(token !== undefined && { token }),
        ...(fingerprint !== undefined && { fingerprint }),
      })),
  )
  .max(8)

/** The device: an Ed25519 seed, and the invite it was made for. */
export const identitySchema = z
  .strictObject({ version, seed: bytes(32), inviteId: count })
  .transform(({ seed, inviteId }) => ({ seed, inviteId }))

export const keySchema = z
  .strictObject({
    version,
    k: bytes(32),
    certificate: bytes(),
    siteKey: bytes(32),
    fingerprint: bytes(16),
    directorySlot: bytes(16),
  })
  .transform(({ version: _, ...key }) => key)

export const siteSchema = z
  .strictObject({
    version,
    doorbell: z.strictObject({ epoch: count, secret: bytes(32) }).optional(),
    relays,
    siteRevision: count,
    record: bytes().optional(),
    downThrough: count,
  })
  .transform(({ doorbell, relays: list, siteRevision, record, downThrough }) => ({
    relays: list,
    siteRevision,
    downThrough,
    ...(doorbell && { doorbell }),
    ...(record && { record }),
  }))

export const sessionSchema = z
  .strictObject({
    version,
    base: z.strictObject({ id: bytes(8), resumption: bytes(32), oneTime: bytes() }).optional(),
    mailboxes: z.array(z.strictObject({ up: bytes(32), down: bytes(32), answered: z.boolean() })).max(256),
    silence: z.strictObject({
      silentMs: z.number().min(0),
      nextMs: z.number().min(0),
      step: z.enum(['none', 'probed', 'lost']),
    }),
  })
  .transform(({ base, mailboxes, silence }) => ({ mailboxes, silence, ...(base && { base }) }))

export const inviteSchema = z
  .strictObject({
    version,
    fingerprint: bytes(16),
    directorySlot: bytes(16),
    id: count,
    secret: bytes(32),
    relays,
  })
  .transform(({ version: _, ...invite }) => invite)

export const linksSchema = z.array(z.strictObject({ address: z.string().max(64), port: z.int() })).max(64)
