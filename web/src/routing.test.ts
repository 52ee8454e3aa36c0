import { expect, test } from 'vitest'
import { match } from './routing'

test('takes the named parts out of a path', () => {
  expect(match('/c/:clinic/visit', '/c/demo/visit')).toEqual({ clinic: 'demo' })
  expect(match('/c/:clinic', '/c/demo/')).toEqual({ clinic: 'demo' })
  expect(match('/', '/')).toEqual({})
})

test('decodes each part by itself, so that a slash inside a part stays inside', () => {
  expect(match('/c/:clinic', '/c/a%2Fb')).toEqual({ clinic: 'a/b' })
})

test('another path, a longer one and a malformed one do not match', () => {
  expect(match('/c/:clinic', '/clinic/demo')).toBeNull()
  expect(match('/c/:clinic', '/c/demo/visit')).toBeNull()
  expect(match('/c/:clinic', '/c/%E0%A4%A')).toBeNull()
})

test('an open pattern takes any rest, also none', () => {
  expect(match('/clinic/:clinic/*', '/clinic/demo')).toEqual({ clinic: 'demo' })
  expect(match('/clinic/:clinic/*', '/clinic/demo/day/2026-03-01')).toEqual({ clinic: 'demo' })
  expect(match('/clinic/:clinic/*', '/c/demo')).toBeNull()
})
