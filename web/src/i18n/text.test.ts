import { expect, test, vi } from 'vitest'
import { en } from './en'
import { es } from './es'
import { language, plural, t } from './text'

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

/** What staff alone read, by how their keys begin; everything else has a Spanish text. */
const STAFF =
  /^(signIn|attest|answers|second|approval|confirm|settings|setUp|enrol|join|factor|app|recovery|security|sessions|password|role|staff|signOut|day|clinic|stage|consult|guests|invite|end|note|outbox|messageWork|threads|recalls|recallRules|contact|missing|lines|audit|reviews|oversight|emergency|recertification|licences|apps|authorize|scope|verb|resource|picker|launch|grants|identities|providers|external|transfer|payments|interpreters)\.|^people\.(?!patient|proxy|clinician|interpreter|family|other|participant)|^thread\.(title|body|patient|notYours)$|^visit\.(admit|resume|open|note)/

test('everything that a patient reads is there in Spanish, with the same values', () => {
  const names = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort()
  for (const [key, text] of Object.entries(en)) {
    if (STAFF.test(key)) continue
    const spanish = (es as Record<string, string>)[key]
    expect(spanish, key).toBeTruthy()
    expect(names(spanish ?? ''), key).toEqual(names(text))
  }
  for (const key of Object.keys(es)) expect(en).toHaveProperty([key])
})

test('the language is the first of the reader’s that there are texts in', () => {
  vi.stubGlobal('navigator', { languages: ['fr-CH', 'es-MX', 'en-US'] })
  expect(language()).toBe('es')
  expect(t('account.signOut')).toBe(es['account.signOut'])
  expect(plural('waiting.before', 2)).toContain('2')
  vi.stubGlobal('location', { pathname: '/clinic/demo' })
  expect(language()).toBe('en')
  vi.unstubAllGlobals()
  expect(language()).toBe('en')
})
