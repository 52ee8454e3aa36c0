import { en } from './en'

type Catalogue = typeof en
export type TextKey = keyof Catalogue
type PluralKey = { [K in TextKey]: K extends `${infer Base}.other` ? Base : never }[TextKey]
type Names<T extends string> = T extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never
type Values<K extends TextKey> = [Names<Catalogue[K]>] extends [never]
  ? []
  : [values: Record<Names<Catalogue[K]>, string | number>]

/** The language of the catalogue; dates and numbers follow the reader's region of it (en-GB, en-US…). */
export const language = 'en'

export function t<K extends TextKey>(key: K, ...values: Values<K>): string {
  return fill(en[key], values[0] ?? {})
}

/** `key.one` or `key.other` (CLDR plural rules), with `{count}` filled in. */
export function plural(key: PluralKey, count: number): string {
  const form = new Intl.PluralRules(language).select(count)
  const exact = `${key}.${form}`
  const text = exact in en ? en[exact as TextKey] : en[`${key}.other`]
  return fill(text, { count: new Intl.NumberFormat(locale()).format(count) })
}

/** The reader's locale when it is a region of our language; British English otherwise (24-hour clock). */
export function locale(): string {
  const wanted = globalThis.navigator?.languages ?? []
  return wanted.find((tag) => tag.split('-')[0] === language) ?? 'en-GB'
}

function fill(text: string, values: Partial<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}
