import type { SetUpBundle } from '../../api/types'

export type List = 'sites' | 'services' | 'exceptions' | 'consents'
export type Nested = 'hours' | 'rooms' | 'questionnaires'
export type Row = Record<string, unknown>

export interface FieldOf {
  /** Where it stands in a row; a dot leads into an object. */
  name: string
  kind: 'text' | 'number' | 'date' | 'time' | 'long' | 'check'
  /** Left out where nothing is given. */
  optional?: boolean
}

const text = (name: string): FieldOf => ({ name, kind: 'text' })
const optional = (name: string, kind: FieldOf['kind'] = 'text'): FieldOf => ({ name, kind, optional: true })

export const FIELDS: Record<List | Nested, readonly FieldOf[]> = {
  sites: [text('key'), text('name'), text('address'), text('timeZone')],
  services: [
    text('key'),
    text('name'),
    { name: 'durationMinutes', kind: 'number' },
    { name: 'bufferBeforeMinutes', kind: 'number' },
    { name: 'bufferAfterMinutes', kind: 'number' },
    { name: 'capacity', kind: 'number' },
    { name: 'needsRoom', kind: 'check' },
    text('price.amount'),
    text('price.currency'),
  ],
  rooms: [text('key'), text('name')],
  questionnaires: [text('key'), optional('service'), { name: 'required', kind: 'check' }],
  hours: [optional('site'), text('rrule'), text('start'), text('end')],
  exceptions: [
    text('name'),
    { name: 'from', kind: 'date' },
    { name: 'until', kind: 'date' },
    optional('site'),
    optional('staff'),
    optional('start'),
    optional('end'),
  ],
  consents: [
    text('key'),
    text('jurisdiction'),
    text('language'),
    text('title'),
    { name: 'text', kind: 'long' },
  ],
}

/** What a new row begins with. */
export const EMPTY: Record<List | Nested, Row> = {
  sites: { key: '', name: '', address: '', timeZone: '' },
  services: {
    key: '',
    name: '',
    durationMinutes: 20,
    bufferBeforeMinutes: 0,
    bufferAfterMinutes: 0,
    capacity: 1,
    price: { amount: '', currency: '' },
  },
  rooms: { key: '', name: '' },
  questionnaires: {
    key: '',
    questionnaire: {
      resourceType: 'Questionnaire',
      status: 'active',
      item: [{ linkId: 'reason', type: 'string', text: 'Why do you come?' }],
    },
  },
  hours: { rrule: 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR', start: '09:00', end: '17:00' },
  exceptions: { name: '', from: '', until: '' },
  consents: { key: '', jurisdiction: '', language: '', title: '', text: '' },
}

/** How a number that is not there counts. */
const UNSAID: Record<string, string> = { capacity: '1', bufferBeforeMinutes: '0', bufferAfterMinutes: '0' }

export function shownOf(row: Row, name: string): string {
  const [first = '', second] = name.split('.')
  const found = second ? (row[first] as Row | undefined)?.[second] : row[first]
  return found === undefined ? (UNSAID[name] ?? '') : String(found)
}

/** The row with another value; what is optional and empty is not in it. */
export function withValue(row: Row, field: FieldOf, value: string): Row {
  const [first = '', second] = field.name.split('.')
  if (second) return { ...row, [first]: { ...(row[first] as Row), [second]: value } }
  if (field.optional && value === '') {
    const { [first]: _, ...rest } = row
    return rest
  }
  if (field.kind === 'check') {
    const { [first]: _, ...rest } = row
    return value === 'true' ? { ...rest, [first]: true } : rest
  }
  const digits = value.replace(/\D/g, '')
  return { ...row, [first]: field.kind === 'number' ? Number(digits) : value }
}

/** The error whose pointer is that place, or something in it. */
export function errorAt(errors: readonly InputError[], pointer: string): string | undefined {
  return errors.find((error) => error.pointer === pointer || error.pointer.startsWith(`${pointer}/`))?.detail
}

export interface InputError {
  pointer: string
  detail: string
}

/** How a field stands in pointers. */
export function pointerOf(place: string, field: FieldOf): string {
  return `${place}/${field.name.split('.')[0]}`
}

export type Bundle = SetUpBundle
