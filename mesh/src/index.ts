export * from './lan/index.js'
export * from './errors.js'
