import type { LimitConstant } from '@fieldwhisper/host'

import {
  MAX_BIRTH_TEXT_BYTES,
  MAX_COMMAND_BYTES,
  MAX_COMMAND_METRICS,
  MAX_DATA_METRICS,
  MAX_DATA_TEXT_BYTES,
  MAX_METRICS,
  MAX_METRICS_PER_DEVICE,
  MAX_METRIC_NAME_BYTES,
  MAX_STATE_BYTES,
  MAX_UNCONFIRMED,
  REBIRTH_INTERVAL_MS,
} from './constants.js'

const CODEC = 'test/unit/gateway/sparkplug-codec.test.ts'
const BIRTH = 'test/unit/gateway/sparkplug-birth.test.ts'
const DATA = 'test/unit/gateway/sparkplug-data.test.ts'
const HOST = 'test/unit/gateway/sparkplug-host.test.ts'
const source = 'Sparkplug B 3.0 sets none'

/** For docs/limits.md. */
export const SPARKPLUG_CONSTANTS: Readonly<Record<string, LimitConstant>> = {
  MAX_COMMAND_BYTES: {
    value: MAX_COMMAND_BYTES,
    unit: 'bytes',
    meaning: 'A command of a host; a larger one is dropped unread.',
    reason: 'A reading has at most 8 KiB, so this is room for a form of values.',
    source,
    test: CODEC,
  },
  MAX_COMMAND_METRICS: {
    value: MAX_COMMAND_METRICS,
    unit: 'metrics',
    meaning: 'Metrics in one command.',
    reason: 'Two bytes make a metric, so bytes alone would let 32,000 in.',
    source,
    test: CODEC,
  },
  MAX_METRIC_NAME_BYTES: {
    value: MAX_METRIC_NAME_BYTES,
    unit: 'bytes',
    meaning: 'Name of a metric in a command.',
    reason: "No reading's name is longer.",
    source,
    test: CODEC,
  },
  MAX_STATE_BYTES: {
    value: MAX_STATE_BYTES,
    unit: 'bytes',
    meaning: 'State of the primary host; a larger one is no state.',
    reason: 'It has two members.',
    source,
    test: HOST,
  },
  REBIRTH_INTERVAL_MS: {
    value: REBIRTH_INTERVAL_MS,
    unit: 'ms',
    meaning: 'All births are said again on request once in so long; until then no data goes out.',
    reason: 'A request of 60 bytes has megabytes as its answer.',
    source,
    test: HOST,
  },
  MAX_METRICS_PER_DEVICE: {
    value: MAX_METRICS_PER_DEVICE,
    unit: 'names',
    meaning: 'Names of one agent; readings of others are not told to Sparkplug hosts, which is reported.',
    reason: 'Each is part of every birth of the device.',
    source: 'DESIGN 9',
    test: BIRTH,
  },
  MAX_METRICS: {
    value: MAX_METRICS,
    unit: 'names',
    meaning: 'The same of all agents together.',
    reason: 'About 100 MB of memory.',
    source: 'DESIGN 9',
    test: BIRTH,
  },
  MAX_BIRTH_TEXT_BYTES: {
    value: MAX_BIRTH_TEXT_BYTES,
    unit: 'bytes',
    meaning: 'Text and bytes as current values in one DBIRTH; those beyond are null there.',
    reason: 'Brokers cap their packets, some at 2 MB.',
    source,
    test: BIRTH,
  },
  MAX_DATA_METRICS: {
    value: MAX_DATA_METRICS,
    unit: 'metrics',
    meaning: 'Values in one DDATA; more are several messages.',
    reason: 'About 20 KiB of numbers.',
    source,
    test: DATA,
  },
  MAX_DATA_TEXT_BYTES: {
    value: MAX_DATA_TEXT_BYTES,
    unit: 'bytes',
    meaning: 'Text and bytes in one DDATA; more are several messages.',
    reason: 'Far below what brokers take.',
    source,
    test: DATA,
  },
  MAX_UNCONFIRMED: {
    value: MAX_UNCONFIRMED,
    unit: 'messages',
    meaning: 'DDATA that no fence has confirmed; above it no batch is taken.',
    reason: 'Four windows: raised, more is sent again after a broken connection.',
    source,
    test: DATA,
  },
}
