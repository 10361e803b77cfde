export const AGENTS: readonly string[] = ['press-1', 'oven-2', 'pump-3', 'mixer-4', 'scale-5']
export const READINGS_PER_SECOND = 20
export const BATCH_INTERVAL = '250ms'
export const SITE = 'demo'
export const BROKER_USER = 'plant'
/** The environment is hidden from other users of the machine, a command line is not. */
export const BROKER_PASSWORD_VARIABLE = 'FIELDWHISPER_DEMO_BROKER_PASSWORD'
/** Programs answer within this on a slow machine. */
export const READY_MS = 60_000
/** Joining includes two handshakes and the start of five processes. */
export const JOIN_MS = 120_000
/** First readings after the start of five processes. */
export const FIRST_MS = 60_000
/** Redialling waits longer the longer something was away, up to half a minute. */
export const RECOVER_MS = 60_000
/** What is still on its way at the end may take so long; then it is lost. */
export const SETTLE_MS = 60_000
