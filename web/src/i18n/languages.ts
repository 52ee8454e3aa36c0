import { locale } from './text'

/** What people are interpreted from and into most, spoken and signed (BCP 47). Others can be set by the API. */
const CODES =
  'am ar ase bg bn bs cs da de el en es et fa fi fr gsg gu he hi hmn hr ht hu hy id it ja ka km ko ku lo lt lv mk mn my ne nl no pa pl ps pt-BR pt-PT ro ru si sk sl so sq sr sv sw ta te th ti tl tr uk ur uz vi wo yo zh-CN zh-TW'.split(
    ' ',
  )

/** A language by its name in the reader's; by its code where nobody has named it. */
export function languageName(code: string): string {
  try {
    return new Intl.DisplayNames([locale()], { type: 'language' }).of(code) ?? code
  } catch {
    return code
  }
}

/** Code and name of each, in the order of the reader's alphabet. */
export function languageOptions(): [code: string, name: string][] {
  const named = CODES.map((code): [string, string] => [code, languageName(code)])
  return named.sort(([, a], [, b]) => a.localeCompare(b, locale()))
}
