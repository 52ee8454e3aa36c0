import { expect, test } from 'vitest'
import { birthDate, birthDateOrder, contactOf, type Details, EMPTY, mistakes, patientOf } from './details'

const ana: Details = {
  ...EMPTY,
  name: 'Ana Example',
  day: '7',
  month: '3',
  year: '1961',
  email: 'ana@example.org',
}

test('a complete form has no mistakes', () => {
  expect(mistakes(ana, '2026-03-01')).toEqual([])
  expect(birthDate(ana)).toBe('1961-03-07')
})

test('every mistake is found, in the order of the form', () => {
  const empty = { ...EMPTY, name: ' ', email: 'ana' }
  expect(mistakes(empty, '2026-03-01')).toEqual(['name', 'birthDate', 'email'])
})

test('an interpreter is asked for only by whoever needs one', () => {
  expect(patientOf(ana)).toEqual({
    name: 'Ana Example',
    birthDate: '1961-03-07',
    email: 'ana@example.org',
    contact: { language: 'en', channel: 'email' },
  })
  expect(patientOf({ ...ana, interpreter: 'es' })).toHaveProperty('interpreter', 'es')
})

test('days that no calendar has are no birth dates', () => {
  expect(birthDate({ ...ana, day: '30', month: '2' })).toBeNull()
  expect(birthDate({ ...ana, day: '29', month: '2', year: '1961' })).toBeNull()
  expect(birthDate({ ...ana, day: '29', month: '2', year: '1960' })).toBe('1960-02-29')
  expect(birthDate({ ...ana, year: '61' })).toBeNull()
})

test('nobody is born tomorrow', () => {
  expect(mistakes({ ...ana, day: '2', month: '3', year: '2026' }, '2026-03-01')).toEqual(['birthDateFuture'])
})

test('a number has its country, and texts need a number', () => {
  expect(mistakes({ ...ana, phone: '+49 170 123-4567' }, '2026-03-01')).toEqual([])
  expect(mistakes({ ...ana, phone: '0170 1234567' }, '2026-03-01')).toEqual(['phone'])
  expect(mistakes({ ...ana, byText: true }, '2026-03-01')).toEqual(['phone'])
  const texted = { phone: ' +49 170 1234567 ', byText: true }
  expect(contactOf(texted, 'es')).toEqual({ language: 'es', channel: 'sms', phone: '+49 170 1234567' })
  expect(contactOf({ phone: '', byText: true }, 'en')).toEqual({ language: 'en', channel: 'email' })
})

test('the order follows the reader', () => {
  expect(birthDateOrder('en-US')).toEqual(['month', 'day', 'year'])
  expect(birthDateOrder('en-GB')).toEqual(['day', 'month', 'year'])
})
