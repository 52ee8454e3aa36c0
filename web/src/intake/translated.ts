import type { components } from '../api/schema'
import { language } from '../i18n/text'
import type { Answer, Item } from './rules'

type Element = components['schemas']['TranslatedElement']

/** A text in the reader's language, if its makers translated it (FHIR's extension `translation`). */
function translated(text: string, element: Element | undefined, wanted: string): string {
  for (const { extension = [] } of element?.extension ?? []) {
    const of = (url: string) => extension.find((one) => one.url === url)
    if (of('lang')?.valueCode === wanted) return of('content')?.valueString ?? text
  }
  return text
}

export function textOf(item: Item): string {
  return translated(item.text ?? '', item._text, language())
}

/** What an offered answer is called. */
export function nameOf(answer: Answer): string {
  const { valueCoding, valueString } = answer
  if (!valueCoding) return valueString ?? ''
  return translated(valueCoding.display ?? valueCoding.code, valueCoding._display, language())
}
