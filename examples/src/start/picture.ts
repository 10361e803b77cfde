import { pause } from '../programs/ask.js'
import { Screen } from './screen.js'
import type { Site } from './site.js'
import { styleFor } from './style.js'
import { renderView } from './view.js'

/** Two pictures a second at most. */
const REDRAW_MS = 500

/** Shows the site in place until `signal`; the last picture stays. */
export async function showPicture(site: Site, signal: AbortSignal): Promise<void> {
  const out = process.stdout
  const screen = new Screen(out)
  const style = styleFor(out)
  // Whatever ends this process, the terminal gets its cursor back.
  const end = (): void => screen.end()
  process.on('exit', end)
  while (!signal.aborted) {
    const view = await site.view()
    if (!signal.aborted) screen.draw(renderView(view, { ...screen.size, style }))
    await pause(REDRAW_MS, signal)
  }
  end()
  process.off('exit', end)
}
