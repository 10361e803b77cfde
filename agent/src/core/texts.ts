import type { RefusalCode } from '@fieldwhisper/protocol'

/** What a refusal means for the person at the machine. */
export const REFUSED_TEXT: Readonly<Record<RefusalCode, string>> = {
  'invite-expired': 'its invite has expired. Ask for a new one (gateway enroll NAME) and join again.',
  'invite-used':
    'its invite was used by another device. Ask for a new one (gateway enroll NAME) and join again.',
  revoked: 'it was revoked. If that was a mistake, enroll it again.',
  'name-taken': 'another device has this name. Enroll it under another one, or with --replace.',
}
