import { expect, test } from 'vitest'
import { resourceText, verbsOf } from './scopeText'

test('scopes are said in words', () => {
  expect(verbsOf('rs')).toBe('see')
  expect(verbsOf('cruds')).toBe('see, add, change and delete')
  expect(verbsOf('u')).toBe('change')
  expect(resourceText('DocumentReference')).toBe('notes')
  expect(resourceText('Starship')).toBe('Starship')
})
