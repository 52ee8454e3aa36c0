import { expect, test } from 'vitest'
import { en } from './en'
import { plural, t } from './text'

test('fills named values', () => {
  expect(t('booking.sent.body', { email: 'a@example.org' })).toContain('a@example.org')
})

test('picks the plural form', () => {
  expect(plural('clinic.waiting.minutes', 1)).toBe(en['clinic.waiting.minutes.one'].replace('{count}', '1'))
  expect(plural('clinic.waiting.minutes', 3)).toBe(en['clinic.waiting.minutes.other'].replace('{count}', '3'))
})

test('no text is empty, and every plural has both forms', () => {
  for (const [key, text] of Object.entries(en)) {
    expect(text.trim(), key).not.toBe('')
    if (key.endsWith('.one')) expect(en).toHaveProperty([key.replace(/\.one$/, '.other')])
  }
})
