import { parseArgs } from 'node:util'
import { asError } from '@fieldwhisper/host'

/** The command line of a program that runs a site: `--state DIR` and `--help`. Sets the exit code. */
export async function siteCommand(help: string, main: (state: string) => Promise<number>): Promise<void> {
  try {
    const { values } = parseArgs({
      options: {
        state: { type: 'string', default: '.fieldwhisper' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    if (values.help) process.stdout.write(help)
    else process.exitCode = await main(values.state)
  } catch (error) {
    process.stderr.write(`${asError(error).message}\n\n${help}`)
    process.exitCode = 2
  }
}
