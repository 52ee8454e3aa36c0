import { expect, test } from 'vitest'
import { errorAt, FIELDS, pointerOf, shownOf, withValue } from './fields'

const field = (list: keyof typeof FIELDS, name: string) => {
  const found = FIELDS[list].find((other) => other.name === name)
  if (!found) throw new Error(name)
  return found
}

test('what is optional and empty is left out, what is a number is one', () => {
  const row = { name: 'Fair', site: 'boise' }
  expect(withValue(row, field('exceptions', 'site'), '')).toEqual({ name: 'Fair' })
  expect(withValue(row, field('exceptions', 'name'), '')).toEqual({ name: '', site: 'boise' })
  expect(withValue({}, field('services', 'durationMinutes'), '20 min')).toEqual({ durationMinutes: 20 })
})

test('a price is an object, and an error in it stands at its fields', () => {
  const row = withValue(
    { price: { amount: '1.00', currency: 'EUR' } },
    field('services', 'price.amount'),
    '-5',
  )
  expect(row).toEqual({ price: { amount: '-5', currency: 'EUR' } })
  expect(shownOf(row, 'price.currency')).toBe('EUR')
  const errors = [{ pointer: '/services/0/price', detail: 'no' }]
  expect(errorAt(errors, pointerOf('/services/0', field('services', 'price.amount')))).toBe('no')
  expect(errorAt(errors, pointerOf('/services/1', field('services', 'price.amount')))).toBeUndefined()
})
