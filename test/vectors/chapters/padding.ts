import { pad, paddedLength } from '../../../protocol/dist/packet/padding.js'
import { pad as referencePad, padded } from '../reference/packet.js'
import { chapter } from '../support/chapter.js'
import { fixed } from '../support/inputs.js'

const around = [1, 2, 255, 256, 257, 272, 273, 511, 512, 513, 1_023, 1_024, 1_025, 4_095, 4_097, 8_191, 8_193]
const lengths = [...around, 6_400, 6_401, 15_360, 15_361, 15_872]

interface Input {
  readonly lengths?: readonly number[]
  readonly content?: Uint8Array
}

export const paddingChapter = chapter<Input>({
  name: 'padding',
  sections: '3.1',
  cases: [
    { title: 'sizes', input: { lengths } },
    { title: 'an empty content', input: { content: new Uint8Array(0) } },
    { title: 'the largest content of 256 bytes', input: { content: fixed('content', 254) } },
    { title: 'one byte more', input: { content: fixed('content', 255) } },
  ],
  product: ({ lengths, content }) => ({
    ...(lengths && { sizes: lengths.map(paddedLength) }),
    ...(content && { plaintext: pad(content) }),
  }),
  reference: ({ lengths, content }) => ({
    ...(lengths && { sizes: lengths.map(padded) }),
    ...(content && { plaintext: referencePad(content) }),
  }),
})
