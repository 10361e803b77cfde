// Holds the control socket of a state folder until it is killed.
import { serveControl } from '@fieldwhisper/host'

await serveControl(process.argv[2]!, { status: () => 'child' }, { event: () => undefined })
process.stdout.write('ready\n')
