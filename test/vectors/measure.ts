/**
 * Processor time of every primitive in both implementations, in microseconds: the lowest of many short runs, because what
 * else the machine does only adds. `npx tsc -b && node --import=tsx test/vectors/measure.ts`; the results are in
 * docs/decisions/003-primitives.md.
 */
import { native, portable, type Primitives } from '@fieldwhisper/protocol'
import { createHmac, createPrivateKey } from 'node:crypto'
import { fixed } from './support/inputs.js'

const RUNS = 25
const RUN_US = 20_000

function microseconds(call: () => unknown): number {
  let best = Infinity
  for (let run = 0; run < RUNS; run++) {
    const start = process.cpuUsage()
    let calls = 0
    let spent = 0
    while (spent < RUN_US) {
      for (let i = 0; i < 8; i++) call()
      calls += 8
      const { user, system } = process.cpuUsage(start)
      spent = user + system
    }
    best = Math.min(best, spent / calls)
  }
  return best
}

const key = fixed('key')
const nonce = fixed('nonce', 12)
const aad = fixed('aad', 29)
const small = fixed('256 bytes', 256)
const large = fixed('4 KiB', 4_096)
const seed64 = fixed('seed', 64)
const coins = fixed('coins')

const operations: Record<string, (c: Primitives) => () => unknown> = {
  'SHA-256, 256 bytes': (c) => () => c.sha256(small),
  'SHA-256, 4 KiB': (c) => () => c.sha256(large),
  'HMAC-SHA-256, 256 bytes (knock)': (c) => () => c.hmacSha256(key, small),
  'HMAC-SHA-512, a tree node': (c) => () => c.hmacSha512(key, aad.subarray(0, 8)),
  'ChaCha20-Poly1305 seal, 256 bytes': (c) => () => c.seal(key, nonce, aad, small),
  'ChaCha20-Poly1305 open, 256 bytes': (c) => {
    const sealed = c.seal(key, nonce, aad, small)
    return () => c.open(key, nonce, aad, sealed)
  },
  'ChaCha20-Poly1305 seal, 4 KiB': (c) => () => c.seal(key, nonce, aad, large),
  'X25519 private key from bytes': (c) => () => c.agreementKey(key),
  'X25519 agreement': (c) => {
    const agreement = c.agreementKey(key)
    const { publicKey } = c.agreementKey(coins)
    return () => agreement.agree(publicKey)
  },
  'Ed25519 private key from bytes': (c) => () => c.signingKey(key),
  'Ed25519 sign': (c) => {
    const signing = c.signingKey(key)
    return () => signing.sign(small)
  },
  'Ed25519 verify': (c) => {
    const signing = c.signingKey(key)
    const signature = signing.sign(small)
    return () => c.verify(signing.publicKey, small, signature)
  },
  'ML-KEM-768 public key of a seed': (c) => () => c.kem.publicKey(seed64),
  'ML-KEM-768 encapsulate': (c) => {
    const publicKey = c.kem.publicKey(seed64)
    return () => c.kem.encapsulate(publicKey, coins)
  },
  'ML-KEM-768 decapsulate, from the seed': (c) => {
    const { ciphertext } = c.kem.encapsulate(c.kem.publicKey(seed64), coins)
    return () => c.kem.decapsulate(seed64, ciphertext)
  },
}

print(`Node.js ${process.versions.node}, OpenSSL ${process.versions.openssl}`)
for (const [name, operation] of Object.entries(operations)) {
  const [a, b] = [microseconds(operation(native)), microseconds(operation(portable))]
  print(`| ${name} | ${a.toFixed(1)} | ${b.toFixed(1)} |`)
}

const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), key])
print('beside them:')
print(
  `| X25519 private key by DER | ${microseconds(() => createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })).toFixed(1)} | |`,
)
print(
  `| HMAC-SHA-512 with the raw key | ${microseconds(() =>
    createHmac('sha512', key).update(aad.subarray(0, 8)).digest(),
  ).toFixed(1)} | |`,
)

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
