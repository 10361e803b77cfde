import {
  addressKeyFromSeed,
  beginHello,
  crypto,
  finishHello,
  helloHash,
  openHello,
  parseHello,
  successor,
  verifyRecord,
} from '@fieldwhisper/protocol'
import * as reference from '../reference/hello.js'
import { addressOfSeed } from '../reference/identity.js'
import { chapter } from '../support/chapter.js'
import { scripted } from '../support/inputs.js'
import * as world from '../support/world.js'

interface Input extends reference.Hello {
  readonly siteFingerprint: Uint8Array
  readonly prekey: Omit<reference.Prekey, 'record'>
}

function input(hello: reference.Hello, prekey: reference.Prekey): Input {
  const { gatewaySecret, prekeySecret, kemSeed } = prekey
  return {
    ...hello,
    siteFingerprint: world.fingerprint,
    prekey: { gatewaySecret, prekeySecret, kemSeed },
  }
}

export const helloChapter = chapter<Input>({
  name: 'hellos',
  sections: '4, 5.1, 5.4',
  cases: [
    { title: 'join, without content', input: input(world.joinHello, world.signed) },
    { title: 'continue, on the successor of the join', input: input(world.continueHello, world.oneTime) },
    { title: 'lost', input: input(world.lostHello, world.signed) },
  ],
  product: (hello) => {
    const { packet, session } = beginHello(
      {
        kind: hello.kind,
        record: verifyRecord(hello.record, hello.siteFingerprint),
        agent: crypto.signingKey(hello.agentSeed),
        identity: hello.identity,
        continuity: hello.continuity,
        siteRevision: hello.siteRevision,
        k: hello.k,
        r: hello.r,
        knock: { id: hello.knockId, key: hello.knockKey },
        content: hello.content,
      },
      scripted(hello.nonce, hello.ephemeralSecret, hello.coins),
    )
    const opened = openHello(packet, { record: hello.record, ...hello.prekey })!
    const finished = finishHello(packet, opened, hello.k, hello.r)!
    const next = successor(session.resumption)
    return {
      packet,
      t1: opened.t1,
      ck: opened.ck,
      id: session.id,
      k2: session.box2Key,
      r: session.resumption,
      addressSeedUp: session.up.addressSeed,
      addressSeedDown: session.down.addressSeed,
      treeRootUp: session.up.treeRoot,
      treeRootDown: session.down.treeRoot,
      addressUp: addressKeyFromSeed(session.up.addressSeed).address,
      addressDown: addressKeyFromSeed(session.down.addressSeed).address,
      successorAddress: next.addressKey.address,
      successorKnockKey: next.knockKey,
      acceptedHash: helloHash(parseHello(packet), hello.record),
      opened: { kind: opened.kind, agentKey: opened.agentKey, content: finished.content },
    }
  },
  reference: (hello) => {
    const { packet, session } = reference.sealHello(hello)
    const prekey = { record: hello.record, ...hello.prekey }
    const opened = reference.openHello(packet, hello.knockKey, prekey, () => ({ k: hello.k, r: hello.r }))
    const next = reference.successor(session.r)
    return {
      packet,
      ...session,
      addressUp: addressOfSeed(session.addressSeedUp),
      addressDown: addressOfSeed(session.addressSeedDown),
      successorAddress: addressOfSeed(next.addressSeed),
      successorKnockKey: next.knockKey,
      acceptedHash: reference.acceptedHash(session.t1, packet.slice(1150, 1550)),
      opened: { kind: opened.kind, agentKey: opened.agentKey, content: opened.content },
    }
  },
})
