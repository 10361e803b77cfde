/*
 * Topic filters (MQTT 3.1.1, section 4.7): which topics they mean, and whether one means no more than another.
 */

/** Whether a topic is meant by a filter. A filter that begins with a wildcard means no topic that begins with `$`. */
export function matches(filter: string, topic: string): boolean {
  return covers(filter, topic)
}

/**
 * Whether everything that `wanted` (a topic or a filter) may bring is also brought by `filter`. Not for `$share/...`, which
 * is a plain name here.
 */
export function covers(filter: string, wanted: string): boolean {
  if (wanted.startsWith('$') && (filter.startsWith('#') || filter.startsWith('+'))) return false
  const allowed = filter.split('/')
  const asked = wanted.split('/')
  for (const [at, level] of allowed.entries()) {
    if (level === '#') return true
    const other = asked[at]
    if (other === undefined || other === '#') return false
    if (level === '+') continue
    if (level !== other) return false
  }
  return asked.length === allowed.length
}

/** Whether a text is a topic filter: `#` alone in the last level, `+` alone in its level, no empty text, no NUL. */
export function isFilter(text: string, maxBytes: number, maxLevels: number): boolean {
  const levels = text.split('/')
  return (
    text.length > 0 &&
    Buffer.byteLength(text) <= maxBytes &&
    levels.length <= maxLevels &&
    text.isWellFormed() &&
    !/\p{Cc}/u.test(text) &&
    levels.every(
      (level, at) => !/[+#]/.test(level) || level === '+' || (level === '#' && at === levels.length - 1),
    )
  )
}
