export * from './cli.js'
export type * from './clock.js'
export * from './clock-node.js'
export * from './config.js'
export * from './config-fields.js'
export * from './control.js'
export * from './errors.js'
export type * from './events.js'
export {
  ensureStateDir,
  readJsonFile,
  refuseNewerFiles,
  setAside,
  writeFileDurably,
  writeJsonFile,
} from './files.js'
export type { ReadJsonOptions } from './files.js'
export { openStore } from './lmdb-store.js'
export type { StoreOptions } from './lmdb-store.js'
export * from './limits.js'
export * from './random.js'
export * from './reporter.js'
export * from './running-time.js'
export type * from './store.js'
export * from './token-bucket.js'
export { nearest, printable } from './text.js'
export * from './units.js'
