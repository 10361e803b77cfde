/** SenML takes a smaller time in seconds as one relative to now (RFC 8428 section 4.5.3). */
export const SENML_ABSOLUTE_S = 2 ** 28

/** Letters, digits and - : . / _ only, the first a letter or digit (RFC 8428 section 4.5.1); anything else becomes `_`. */
export function senmlName(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9\-:./_]/g, '_')
  return /^[A-Za-z0-9]/.test(safe) ? safe : `x${safe}`
}
