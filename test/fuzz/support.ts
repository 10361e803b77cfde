import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Entry, RangeOptions, Store } from '@fieldwhisper/host'
import { fromHex, hex } from '@fieldwhisper/protocol'
import { root } from '../support/repository.js'

/** Every byte string of one golden file that stands under one of these keys, outputs and inputs alike. */
export function golden(file: string, ...keys: readonly string[]): Uint8Array[] {
  const found = new Map<string, Uint8Array>()
  const visit = (value: unknown, key: string): void => {
    if (typeof value !== 'object' || value === null) return
    const text = (value as { $hex?: unknown }).$hex
    if (typeof text === 'string' && keys.includes(key)) found.set(text, fromHex(text))
    for (const [name, inner] of Object.entries(value)) visit(inner, Array.isArray(value) ? key : name)
  }
  visit(JSON.parse(readFileSync(join(root, `test/vectors/golden/${file}.json`), 'utf8')), '')
  return [...found.values()]
}

/** All texts of one golden file under a key. */
export function goldenTexts(file: string, key: string): string[] {
  const text = readFileSync(join(root, `test/vectors/golden/${file}.json`), 'utf8')
  return [...text.matchAll(new RegExp(`"${key}": "([^"]*)"`, 'g'))].map((match) => match[1]!)
}

export function utf8(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}

/** A store as a start finds it: records that read, of which some hold the input. Nothing is written to it. */
export function storeOf(records: readonly { table: string; key: Uint8Array; value: Uint8Array }[]): Store {
  const tables = new Map<string, Map<string, Entry>>()
  for (const { table, key, value } of records) {
    const entries = tables.get(table) ?? new Map<string, Entry>()
    tables.set(table, entries.set(hex(key), { key, value }))
  }
  const range = (
    table: string,
    { from, to, reverse = false, limit = Infinity }: RangeOptions = {},
  ): Entry[] => {
    const entries = [...(tables.get(table)?.values() ?? [])]
      .filter(({ key }) => (!from || Buffer.compare(key, from) >= 0) && (!to || Buffer.compare(key, to) < 0))
      .sort((a, b) => Buffer.compare(a.key, b.key))
    return (reverse ? entries.reverse() : entries).slice(0, limit === Infinity ? entries.length : limit)
  }
  return {
    get: (table, key) => tables.get(table)?.get(hex(key))?.value,
    range,
    commit: (writes) => {
      for (const { table, key, value } of writes) {
        const entries = tables.get(table) ?? new Map<string, Entry>()
        tables.set(table, entries)
        if (value === null) entries.delete(hex(key))
        else entries.set(hex(key), { key, value })
      }
      return Promise.resolve()
    },
    bytesUsed: () => 0,
    close: () => Promise.resolve(),
  }
}
