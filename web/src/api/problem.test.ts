import { expect, test } from 'vitest'
import { ApiError, hasSlug, isLastWord, isRefusal } from './problem'

test('a problem document is told by its slug and keeps its own members', () => {
  const error = new ApiError(409, { type: 'urn:locum:problem:slot-taken', title: 'Taken', alternatives: [1] })
  expect(hasSlug(error, 'slot-taken')).toBe(true)
  expect(error.message).toBe('Taken')
  expect(error.document.alternatives).toEqual([1])
})

test('an answer that is no problem document is still an error', () => {
  expect(new ApiError(502, '<html>').message).toBe('status 502')
  expect(new ApiError(500, null).slug).toBe('')
})

test('only what cannot get better by waiting is a refusal', () => {
  expect(isRefusal(new ApiError(410, {}))).toBe(true)
  expect(isRefusal(new ApiError(429, {}))).toBe(false)
  expect(isRefusal(new ApiError(503, {}))).toBe(false)
  expect(isRefusal(new TypeError('Failed to fetch'))).toBe(false)
})

test('what an older host does not understand is asked again elsewhere', () => {
  expect([410, 403, 422, 400, 503].map((status) => isLastWord(new ApiError(status, {})))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
})
