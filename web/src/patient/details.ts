import { language } from '../i18n/text'

/** What the short form asks for, as typed. */
export interface Details {
  name: string
  day: string
  month: string
  year: string
  email: string
  /** The language in which they need an interpreter, or nothing. */
  interpreter: string
  phone: string
  /** They want reminders there. */
  byText: boolean
}

export type DetailsError = 'name' | 'birthDate' | 'birthDateFuture' | 'email' | 'phone'

export const EMPTY: Details = {
  name: '',
  day: '',
  month: '',
  year: '',
  email: '',
  interpreter: '',
  phone: '',
  byText: false,
}

/** What is wrong, in the order of the form. */
export function mistakes(details: Details, today: string): DetailsError[] {
  const found: DetailsError[] = []
  if (details.name.trim() === '') found.push('name')
  const date = birthDate(details)
  if (date === null) found.push('birthDate')
  else if (date > today) found.push('birthDateFuture')
  if (!/^[^\s@]+@[^\s@]+$/.test(details.email.trim())) found.push('email')
  const phone = details.phone.trim()
  if (phone === '' ? details.byText : !isPhone(phone)) found.push('phone')
  return found
}

/** As the clinic is told it. */
export function patientOf(details: Details) {
  return {
    name: details.name.trim(),
    birthDate: birthDate(details) ?? '',
    email: details.email.trim(),
    contact: contactOf(details, language()),
    ...(details.interpreter ? { interpreter: details.interpreter } : {}),
  }
}

/** With its country: +, then 8 to 15 digits, between which people write blanks and the like. */
export function isPhone(text: string): boolean {
  return /^\+[1-9]\d{7,14}$/.test(text.replace(/[ .()/-]/g, ''))
}

/** How they want to be written to, as the API takes it; in the language that they read here. */
export function contactOf(details: Pick<Details, 'phone' | 'byText'>, spoken: 'en' | 'es') {
  const phone = details.phone.trim()
  const channel = details.byText && phone !== '' ? ('sms' as const) : ('email' as const)
  return { language: spoken, channel, ...(phone === '' ? {} : { phone }) }
}

/** `YYYY-MM-DD`, or `null` for a day that no calendar has. */
export function birthDate({ day, month, year }: Details): string | null {
  if (!/^\d{1,2}$/.test(day.trim()) || !/^\d{1,2}$/.test(month.trim()) || !/^\d{4}$/.test(year.trim()))
    return null
  const text = `${year.trim()}-${month.trim().padStart(2, '0')}-${day.trim().padStart(2, '0')}`
  const date = new Date(`${text}T00:00:00Z`)
  if (Number.isNaN(date.getTime()) || date.toISOString().slice(0, 10) !== text) return null
  return Number(year) >= 1880 ? text : null
}

/** Day, month and year in the order in which the reader writes them. */
export function birthDateOrder(locale: string): ('day' | 'month' | 'year')[] {
  return new Intl.DateTimeFormat(locale, { day: '2-digit', month: '2-digit', year: 'numeric' })
    .formatToParts(new Date(0))
    .map((part) => part.type)
    .filter((type) => type === 'day' || type === 'month' || type === 'year')
}
