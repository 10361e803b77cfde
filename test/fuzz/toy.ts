/** A decoder with a defect behind a magic word and a length, for the test of the fuzzer itself. */
export function toy(input: Uint8Array): number {
  if (input.length < 6) return 0
  if (input[0] !== 0x46) return 1
  if (input[1] !== 0x57) return 2
  if (input[2] !== 0x42) return 3
  const length = (input[3]! << 8) | input[4]!
  if (length !== input.length - 5) return 4
  throw new TypeError('the defect')
}
