import { KeyTree, OpeningDirection, packetHash, parseHeader, SealingDirection } from '@fieldwhisper/protocol'
import * as reference from '../reference/packet.js'
import { addressOfSeed } from '../reference/identity.js'
import { chapter } from '../support/chapter.js'
import { fixed, scripted } from '../support/inputs.js'
import * as world from '../support/world.js'

interface TreeInput {
  readonly root: Uint8Array
  readonly counters: readonly number[]
}

export const treeChapter = chapter<TreeInput>({
  name: 'trees',
  sections: '5.2',
  cases: [
    {
      title: 'leaves',
      input: {
        root: world.continued.treeRootUp,
        counters: [0, 1, 2, 3, 4, 255, 256, 21_845, 32_767, 32_768, 43_690, 65_534, 65_535],
      },
    },
  ],
  product: ({ root, counters }) => {
    const tree = KeyTree.fromRoot(root)
    return { leaves: counters.map((counter) => tree.use(counter, (key) => new Uint8Array(key))) }
  },
  reference: ({ root, counters }) => ({
    leaves: counters.map((counter) => reference.leaf(root, counter)),
  }),
})

interface PacketInput {
  readonly treeRoot: Uint8Array
  readonly addressSeed: Uint8Array
  readonly counter: number
  readonly random: Uint8Array
  readonly content: Uint8Array
}

function packet(counter: number, contentBytes: number): PacketInput {
  return {
    treeRoot: world.continued.treeRootUp,
    addressSeed: world.continued.addressSeedUp,
    counter,
    random: fixed(`packet ${counter}`, 8),
    content: fixed(`content of ${contentBytes} bytes`, contentBytes),
  }
}

export const packetChapter = chapter<PacketInput>({
  name: 'packets',
  sections: '3, 5.2',
  cases: [
    { title: 'the first, empty', input: packet(0, 0) },
    { title: 'the second, full to 256 bytes', input: packet(1, 254) },
    { title: 'in the middle', input: packet(32_768, 1_000) },
    { title: 'the last', input: packet(65_535, 300) },
    { title: 'one that every part of the counter is in', input: packet(0x1234, 4_096) },
  ],
  product: ({ treeRoot, addressSeed, counter, random, content }) => {
    const sealing = new SealingDirection(addressSeed, KeyTree.fromRoot(treeRoot), counter)
    const { packet } = sealing.seal(content, scripted(random))
    const opened = new OpeningDirection(addressSeed, KeyTree.fromRoot(treeRoot)).open(
      parseHeader(packet),
      packet,
    )
    return { packet, hash: packetHash(packet), opened: opened.outcome === 'opened' && opened.content }
  },
  reference: ({ treeRoot, addressSeed, counter, random, content }) => {
    const packet = reference.sealData(treeRoot, addressOfSeed(addressSeed), counter, random, content)
    return {
      packet,
      hash: reference.packetHash(packet),
      opened: reference.openData(treeRoot, packet).content,
    }
  },
})
