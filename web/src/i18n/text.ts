import { en } from './en'
import { es } from './es'

type Catalogue = typeof en
export type TextKey = keyof Catalogue
type PluralKey = { [K in TextKey]: K extends `${infer Base}.other` ? Base : never }[TextKey]
type Names<T extends string> = T extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never
type Values<K extends TextKey> = [Names<Catalogue[K]>] extends [never]
  ? []
  : [values: Record<Names<Catalogue[K]>, string | number>]

export type Language = 'en' | 'es'

/** Texts of another language; what one lacks is English. Staff pages are English. */
const CATALOGUES: Record<Language, Partial<Record<TextKey, string>>> = { en, es }

/** The first language of the reader's that there are texts in; of staff pages, English. */
export function language(): Language {
  if (globalThis.location?.pathname.startsWith('/clinic/')) return 'en'
  const wanted = globalThis.navigator?.languages ?? []
  const found = wanted.map((tag) => tag.split('-')[0]).find((tag) => tag === 'en' || tag === 'es')
  return found === 'es' ? 'es' : 'en'
}

export function t<K extends TextKey>(key: K, ...values: Values<K>): string {
  return fill(textOf(key), values[0] ?? {})
}

function textOf(key: TextKey): string {
  return CATALOGUES[language()][key] ?? en[key]
}

/** `key.one` or `key.other` (CLDR plural rules), with `{count}` filled in. */
export function plural(key: PluralKey, count: number): string {
  const form = new Intl.PluralRules(language()).select(count)
  const exact = `${key}.${form}`
  const text = textOf(exact in en ? (exact as TextKey) : `${key}.other`)
  return fill(text, { count: new Intl.NumberFormat(locale()).format(count) })
}

/** The reader's locale when it is a region of the page's language; British English otherwise (24-hour clock). */
export function locale(): string {
  const wanted = globalThis.navigator?.languages ?? []
  const own = language()
  return wanted.find((tag) => tag.split('-')[0] === own) ?? (own === 'en' ? 'en-GB' : own)
}

function fill(text: string, values: Partial<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}
