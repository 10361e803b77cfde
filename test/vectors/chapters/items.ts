import { encodeItems, ROLE, TYPE } from '../../../protocol/dist/items.js'
import { items, type Item } from '../reference/items.js'
import { sha256 } from '../reference/primitives.js'
import { crypto } from '@fieldwhisper/protocol'
import { chapter } from '../support/chapter.js'
import { fixed } from '../support/inputs.js'

interface Input {
  readonly label: string
  readonly items: readonly { readonly type: string; readonly bytes: Uint8Array }[]
}

const every = Object.keys(TYPE).flatMap((type) => Object.keys(ROLE).map((role) => `${type}/${role}`))

export const itemsChapter = chapter<Input>({
  name: 'items',
  sections: '1.2',
  cases: [
    { title: 'a label alone', input: { label: 'fw1 example', items: [] } },
    {
      title: 'an empty item, and two that would be the same without lengths',
      input: {
        label: 'fw1 example',
        items: [
          { type: 'bytes', bytes: new Uint8Array(0) },
          { type: 'x25519/ephemeral', bytes: fixed('item 1') },
          { type: 'ed25519/site', bytes: fixed('item 2', 31) },
        ],
      },
    },
    {
      title: 'every type with every role',
      input: { label: '', items: every.map((type, i) => ({ type, bytes: Uint8Array.of(i) })) },
    },
    {
      title: 'a length of two bytes',
      input: { label: 'ä', items: [{ type: 'kemPublic/oneTimePrekey', bytes: fixed('item 3', 300) }] },
    },
  ],
  product({ label, items }) {
    const encoded = encodeItems(
      label,
      ...items.map(({ type, bytes }) => {
        const [name, role = 'none'] = type.split('/')
        return [TYPE[name as keyof typeof TYPE], ROLE[role as keyof typeof ROLE], bytes] as const
      }),
    )
    return { encoded, hash: crypto.sha256(encoded) }
  },
  reference({ label, items: list }) {
    const encoded = items(label, ...list.map(({ type, bytes }): Item => [type, bytes]))
    return { encoded, hash: sha256(encoded) }
  },
})
