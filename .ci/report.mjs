/**
 * Reads one TAP file of one run of tap and says how it went.
 *
 *   node .ci/report.mjs NAME TAP-FILE EXIT-CODE TOTALS-FILE
 *
 * What is counted: assertions without subtests, as tap itself does in the last unindented line `# { total: 12, pass: 9,
 * fail: 1, skip: 2 }`. A subtest's or file's own "ok" is not counted on top of what is in it; a file that dies without an
 * assertion counts as one failure. What test programs print is indented by tap and cannot be mistaken for that line.
 * Appends `passed failed skipped` to TOTALS-FILE. A skipped test is a failure here, unless it is listed below.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'

/** Full lines of tests that may be skipped on the CI machine, with the reason. Empty is the aim. */
const maySkip = new Map([
  // ['name of the test', 'why it cannot run on the CI machine'],
])

const [name, file, exitCode, totals] = process.argv.slice(2)
const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
const summary = lines.findLast((line) => /^# \{ total: \d+/.test(line))
const count = (key) => Number(new RegExp(`\\b${key}: (\\d+)`).exec(summary ?? '')?.[1] ?? 0)

const passed = count('pass')
let failed = count('fail')
let skipped = count('skip') + count('todo')
const complaints = []

const skips = lines.flatMap(
  (line) => /^\s*ok \d+ - (.*?) # (?:SKIP|TODO)\b(.*)$/i.exec(line)?.slice(1, 3).join(':') ?? [],
)
const unlisted = skips.filter((skip) => ![...maySkip.keys()].some((allowed) => skip.startsWith(allowed)))
for (const skip of unlisted) complaints.push(`skipped, which this machine must not do: ${skip}`)
// tap counts a skipped file or subtest once; trust its number if it saw more than the lines tell.
const forbidden = Math.max(unlisted.length, skipped - (skips.length - unlisted.length))
failed += forbidden
skipped -= Math.min(skipped, forbidden)

if (summary === undefined) {
  failed += 1
  complaints.push(`ended without a summary, exit code ${exitCode}`)
} else if (passed + failed === 0) {
  failed += 1
  complaints.push('no test ran')
} else if (exitCode !== '0' && failed === 0) {
  failed += 1
  complaints.push(`every assertion passed, yet the exit code is ${exitCode}`)
}

if (failed > 0) print(failures())
for (const complaint of complaints) console.log(`  ${complaint}`)
console.log(`-- ${name}: ${passed} assertions passed, ${failed} failed, ${skipped} skipped`)
const slowest = slowestFiles(5)
if (slowest.length > 0) console.log(`   longest: ${slowest.join(', ')}`)
appendFileSync(totals, `${passed} ${failed} ${skipped}\n`)

/** What to look at first when the time runs out. */
function slowestFiles(count) {
  const files = lines.flatMap((line) => {
    const [, path, ms] = /^(?:not )?ok \d+ - (\S+\.test\.ts) # time=([\d.]+)ms/.exec(line) ?? []
    return path ? [{ path, seconds: Math.round(Number(ms) / 1_000) }] : []
  })
  const sorted = files.toSorted((a, b) => b.seconds - a.seconds).slice(0, count)
  return sorted.map(({ path, seconds }) => `${path} ${seconds} s`)
}

/** Each "not ok" line with the YAML block that follows it, and without the blocks of the subtests around it. */
function failures() {
  const shown = []
  for (let i = 0; i < lines.length; i += 1) {
    if (!/^\s*not ok /.test(lines[i])) continue
    shown.push(lines[i])
    if (!/^\s*---$/.test(lines[i + 1] ?? '')) continue
    for (i += 1; i < lines.length && !/^\s*\.\.\.$/.test(lines[i]); i += 1) shown.push(lines[i])
  }
  // A build that failed before tap began left its messages in the same file.
  return summary === undefined ? lines.slice(-60) : shown
}

function print(shown) {
  const most = 400
  for (const line of shown.slice(0, most)) console.log(`  ${line}`)
  if (shown.length > most) console.log(`  ... ${shown.length - most} more lines`)
}
