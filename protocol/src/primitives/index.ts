import { native } from './native.js'
import { portable } from './portable.js'
import type { Primitives } from './types.js'

export type { AgreementKey, Kem, Primitives, SigningKey } from './types.js'
export { native, portable }

/** What the protocol runs on; the measurements behind the choice are in docs/decisions/003-primitives.md. */
export const crypto: Primitives = native
