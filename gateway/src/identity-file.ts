import { readJsonFile, systemRandom, writeJsonFile, type Reporter } from '@fieldwhisper/host'
import { crypto, signGatewayCertificate } from '@fieldwhisper/protocol'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { GatewayIdentity } from './core/ports.js'
import { GatewayError } from './errors.js'

/** Whoever holds this file is the gateway. */
export const IDENTITY_FILE = 'identity.json'
export const STORE_FOLDER = 'store'

const bytes = (length: number) =>
  z
    .string()
    .transform((text) => new Uint8Array(Buffer.from(text, 'base64url')))
    .refine((value) => value.length === length)

const schema = z.strictObject({
  version: z.literal(1),
  site_name: z.string().min(1),
  site_seed: bytes(32),
  signing_seed: bytes(32),
  agreement_secret: bytes(32),
  master: bytes(32),
  certificate: bytes(134),
})

/**
 * Makes a new site. Throws GatewayError `FW_SITE_EXISTS` where the folder has one, or the state of one whose identity is gone: a
 * site is never replaced by accident; `FW_NAME_INVALID` for a name that is no level of an MQTT topic.
 */
export function createIdentity(stateDir: string, siteName: string): GatewayIdentity {
  const path = join(stateDir, IDENTITY_FILE)
  if (existsSync(path) || existsSync(join(stateDir, STORE_FOLDER))) {
    throw new GatewayError(
      'FW_SITE_EXISTS',
      existsSync(path)
        ? `${stateDir} has a site already; a new site needs a folder of its own`
        : `${stateDir} has the state of a site whose ${IDENTITY_FILE} is gone: put that back from your backup; a new site needs a folder of its own`,
    )
  }
  if (!isName(siteName)) {
    throw new GatewayError('FW_NAME_INVALID', 'the name of a site has 1 to 64 bytes, all of them printable')
  }
  const siteSeed = systemRandom(32)
  const signingSeed = systemRandom(32)
  const agreementSecret = systemRandom(32)
  const master = systemRandom(32)
  const certificate = signGatewayCertificate(crypto.signingKey(siteSeed), {
    number: 1,
    signingKey: crypto.signingKey(signingSeed).publicKey,
    agreementKey: crypto.agreementKey(agreementSecret).publicKey,
  })
  const file: z.input<typeof schema> = {
    version: 1,
    site_name: siteName,
    site_seed: text(siteSeed),
    signing_seed: text(signingSeed),
    agreement_secret: text(agreementSecret),
    master: text(master),
    certificate: text(certificate),
  }
  writeJsonFile(path, file, 2)
  return { siteName, siteSeed, signingSeed, agreementSecret, master, certificate }
}

/** Undefined where there is none, or none that reads: the file is set aside then and the gateway asks for its backup. */
export function loadIdentity(stateDir: string, reporter: Reporter): GatewayIdentity | undefined {
  const found = readJsonFile(join(stateDir, IDENTITY_FILE), { schema, reporter })
  return (
    found && {
      siteName: found.site_name,
      siteSeed: found.site_seed,
      signingSeed: found.signing_seed,
      agreementSecret: found.agreement_secret,
      master: found.master,
      certificate: found.certificate,
    }
  )
}

function isName(name: string): boolean {
  return /^\P{C}+$/u.test(name) && name.trim() === name && Buffer.byteLength(name) <= 64
}

function text(secret: Uint8Array): string {
  return Buffer.from(secret).toString('base64url')
}
