import type { Chapter } from '../support/chapter.js'
import { batchChapter } from './batch.js'
import { helloChapter } from './hello.js'
import { addressChapter, certificateChapter, inviteChapter, recordChapter, siteChapter } from './identity.js'
import { itemsChapter } from './items.js'
import { messageChapter } from './messages.js'
import { packetChapter, treeChapter } from './packet.js'
import { paddingChapter } from './padding.js'

export const chapters: readonly Chapter[] = [
  itemsChapter,
  siteChapter,
  certificateChapter,
  recordChapter,
  addressChapter,
  inviteChapter,
  paddingChapter,
  helloChapter,
  treeChapter,
  packetChapter,
  messageChapter,
  batchChapter,
]
