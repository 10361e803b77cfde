/** A safeguard that is taken out of the sources, to see who notices. */
export interface Mutation {
  readonly name: string
  readonly edits: readonly Edit[]
}

export interface Edit {
  readonly file: string
  /** Occurs once. */
  readonly from: string
  readonly to: string
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'A leaf counts as used before its packet has opened',
    edits: [
      {
        file: 'protocol/src/session/key-tree.ts',
        from: 'if (result === undefined) for (const [, sibling] of siblings) wipe(sibling)',
        to: '',
      },
      {
        file: 'protocol/src/session/key-tree.ts',
        from: '    if (result === undefined) return undefined\n',
        to: '',
      },
    ],
  },
  {
    name: 'The spool is freed on a relay’s "stored"',
    edits: [
      {
        file: 'agent/src/engine.ts',
        from: '    this.#courierEvents.push(event)\n    this.#run()',
        to: "    if (event.type === 'deposited' && event.result === 'stored') this.core.stored(event.id)\n    this.#courierEvents.push(event)\n    this.#run()",
      },
      {
        file: 'agent/src/core/core.ts',
        from: '  #whenSilent(now: number',
        to: `  stored(id: number): void {
    const { stream, number } = this.#flights.withPacket(id)?.place ?? {}
    if (!stream || number === undefined) return
    this.#options.batches.ack([{ stream, through: 0, ranges: [{ from: number, to: number + 1 }] }], 0)
  }

  #whenSilent(now: number`,
      },
      {
        file: 'agent/src/core/flights.ts',
        from: '  remove(flight: Flight)',
        to: `  withPacket(id: number): Flight | undefined {
    return [...this.#bySession.values()].flatMap((all) => [...all]).find(({ packet }) => packet === id)
  }

  remove(flight: Flight)`,
      },
    ],
  },
  {
    name: 'A leaf is erased in a commit before that of its batch',
    edits: [
      {
        file: 'gateway/src/core/turns.ts',
        from: '      await store.commit(turn.writes)\n',
        to: '      const leaves = turn.writes.filter(({ table }) => table === TABLE.sessionUp)\n      if (leaves.length > 0) await store.commit(leaves)\n      await store.commit(turn.writes)\n',
      },
      {
        file: 'gateway/src/core/turns.ts',
        from: "import { Turn } from './turn.js'\n",
        to: "import { TABLE } from './tables.js'\nimport { Turn } from './turn.js'\n",
      },
    ],
  },
  {
    name: 'Acknowledging before the flush',
    edits: [
      {
        file: 'gateway/src/core/turns.ts',
        from: '      if (wrote && !(await this.#commit(work))) continue\n',
        to: '      answer(touched)\n      if (wrote && !(await this.#commit(work))) continue\n',
      },
    ],
  },
  {
    name: 'A start goes on with the stream of the process before it',
    edits: [
      {
        file: 'agent/src/spool/spool.ts',
        from: '    this.#mark = { ...this.#mark, start: this.#mark.start + 1 }\n',
        to: '    this.#mark = { ...this.#mark, start: 1 }\n',
      },
      {
        file: 'agent/src/spool/spool.ts',
        from: 'const stream = concat(',
        to: 'const stream = [...this.#streams.values()].at(-1)?.stream ?? concat(',
      },
      {
        file: 'agent/src/spool/spool.ts',
        from: '{ stream, id: hex(stream), end: 0, nextChunk: 0, closed: false }',
        to: '{ stream, id: hex(stream), end: 0, nextChunk: 0, ...draft.stream(hex(stream)), closed: false }',
      },
    ],
  },
  {
    name: 'A mailbox is emptied without proof',
    edits: [
      {
        file: 'relay/src/core/conversation.ts',
        from: '        if (this.#proven.has(hex(frame.address)))\n          this.#shared.mailboxes.delete',
        to: '        this.#shared.mailboxes.delete',
      },
      {
        file: 'relay/src/core/conversation.ts',
        from: 'const proven = this.#proven.has(hex(frame.address))\n',
        to: 'const proven = true as boolean\n',
      },
    ],
  },
]
