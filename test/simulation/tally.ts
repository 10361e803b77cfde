/** How often each fault was done, by kind. */
export class Tally {
  readonly counts = new Map<string, number>()

  add(kind: string, count = 1): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + count)
  }

  merge(other: ReadonlyMap<string, number>): void {
    for (const [kind, count] of other) this.add(kind, count)
  }

  get text(): string {
    const sorted = [...this.counts].sort(([a], [b]) => (a < b ? -1 : 1))
    return sorted.map(([kind, count]) => `${kind} ${count}`).join(', ')
  }
}
