import { concat, wipe, type Random } from '../bytes.js'
import { KEY_BYTES, MAX_HELLO_CONTENT_BYTES, NONCE_BYTES, PACKET_HELLO } from '../constants.js'
import { malformed, ProtocolError } from '../errors.js'
import type { VerifiedRecord } from '../identity/record.js'
import { makeHeader } from '../packet/data.js'
import { headerWithoutHops } from '../packet/header.js'
import { pad } from '../packet/padding.js'
import { crypto, type SigningKey } from '../primitives/index.js'
import { encodeBox1, knock, padBox1, recordRoleOf, type HelloKind } from './layout.js'
import {
  agentSignatureBytes,
  helloKeys,
  sessionSecrets,
  transcript,
  type SessionSecrets,
} from './schedule.js'

export interface HelloRequest {
  readonly kind: HelloKind
  readonly record: VerifiedRecord
  readonly agent: SigningKey
  /** The agent's certificate; its bare public key when joining. */
  readonly identity: Uint8Array
  /** 8 bytes: the session continued or missed, or zeros. */
  readonly continuity: Uint8Array
  readonly siteRevision: number
  /** K, or the invite's secret when joining. */
  readonly k: Uint8Array
  /** r of the session continued, else 32 zeros. */
  readonly r: Uint8Array
  readonly knock: { readonly id: number; readonly key: Uint8Array }
  /** Encoded first messages; may be empty. Never a command. */
  readonly content: Uint8Array
}

/**
 * The agent's half of the handshake: one packet, no answer needed. Throws FW_KEY_INVALID on a record with unusable keys and
 * FW_TOO_LARGE where the content does not fit a hello, FW_MALFORMED on a record of the wrong role for this kind of hello.
 */
export function beginHello(
  request: HelloRequest,
  random: Random,
): { readonly packet: Uint8Array; readonly session: SessionSecrets } {
  const { record, content } = request
  if (content.length > MAX_HELLO_CONTENT_BYTES) {
    throw new ProtocolError(
      'FW_TOO_LARGE',
      `${content.length} bytes do not fit a hello, at most ${MAX_HELLO_CONTENT_BYTES}`,
    )
  }
  if (record.role !== recordRoleOf(request.kind)) {
    throw malformed(`a ${request.kind} hello does not begin on a ${record.role} prekey`)
  }
  const header = makeHeader(PACKET_HELLO, record.address, random(NONCE_BYTES))
  const nonce = header.subarray(header.length - NONCE_BYTES)
  const bareHeader = headerWithoutHops(header)
  const ephemeralSecret = random(KEY_BYTES)
  const ephemeral = crypto.agreementKey(ephemeralSecret)
  const coins = random(KEY_BYTES)
  const { ciphertext, secret } = crypto.kem.encapsulate(record.kemKey, coins)
  const t1 = transcript(record, bareHeader, ephemeral.publicKey, ciphertext)
  const { k1, ck } = helloKeys(
    t1,
    ephemeral.agree(record.gateway.agreementKey),
    ephemeral.agree(record.agreementKey),
    secret,
  )
  const rest = encodeBox1(request)
  const signature = request.agent.sign(agentSignatureBytes(t1, rest))
  const box1 = crypto.seal(k1, nonce, bareHeader, padBox1(rest, signature))
  const session = sessionSecrets(t1, ck, box1, request.k, request.r)
  wipe(ephemeralSecret, coins, k1, ck)
  const box2 = crypto.seal(session.box2Key, nonce, concat(bareHeader, box1), pad(content))
  const packet = knock(
    concat(header, ephemeral.publicKey, ciphertext, box1, box2),
    request.knock.id,
    request.knock.key,
  )
  return { packet, session }
}
