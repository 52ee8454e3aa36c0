import { expect, test } from 'vitest'
import { languageName, languageOptions } from './languages'

test('every language has a name, and one only', () => {
  const options = languageOptions()
  const names = options.map(([, name]) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(names).toContain('Spanish')
  for (const [code] of options) expect(code).toMatch(/^[a-z]{2,3}(-[A-Z]{2})?$/)
})

test('what is no language is shown as it is', () => {
  expect(languageName('<b>')).toBe('<b>')
})
