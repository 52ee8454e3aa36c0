import { type ComponentProps, useState } from 'react'
import { Button } from '../design/Button'
import { t } from '../i18n/text'
import type { AnswerProps } from './Question'
import { type Answer, type Item, MAX_ANSWERS } from './rules'

/** An answer that is typed; several where several are welcome. */
export function TypedAnswer({ item, given, labelId, errorId, onAnswer }: AnswerProps) {
  const [lines, setLines] = useState(Math.max(given.length, 1))
  // As typed: a number is not written anew under the hands of who types it.
  const [typed, setTyped] = useState<Record<number, string>>({})
  const shared = {
    className: 'input',
    'aria-invalid': errorId ? true : undefined,
    'aria-describedby': errorId,
  }

  function type(index: number, text: string) {
    const all = Array.from({ length: lines }, (_, at) => typed[at] ?? wordsOf(given[at]))
    all[index] = text
    setTyped({ ...all })
    onAnswer(all.filter((one) => one.trim() !== '').map((one) => answerOf(item.type, one)))
  }

  return (
    <>
      {Array.from({ length: lines }, (_, index) => {
        const own = {
          ...shared,
          id: `${labelId}-${index}`,
          ...(index > 0 && { 'aria-labelledby': labelId }),
          value: typed[index] ?? wordsOf(given[index]),
          onChange: (event: { target: { value: string } }) => type(index, event.target.value),
        }
        return item.type === 'text' ? (
          <textarea key={own.id} rows={3} {...own} />
        ) : (
          <input key={own.id} {...own} {...kindOf(item.type)} />
        )
      })}
      {item.repeats && lines < MAX_ANSWERS && (
        <div className="row">
          <Button look="plain" onClick={() => setLines(lines + 1)}>
            {t('intake.another')}
          </Button>
        </div>
      )}
    </>
  )
}

function kindOf(type: Item['type']): ComponentProps<'input'> {
  if (type === 'date') return { type: 'date' }
  if (type === 'integer') return { inputMode: 'numeric' }
  return type === 'decimal' ? { inputMode: 'decimal' } : {}
}

/** What is no number stays as it was typed: it is told to be wrong, and not lost. */
function answerOf(type: Item['type'], words: string): Answer {
  // FHIR has no control characters in texts.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant.
  const text = words.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, '')
  const number = text.trim().replace(',', '.')
  if (type === 'date') return { valueDate: text }
  if (type === 'integer' && /^[-+]?\d{1,10}$/.test(number)) return { valueInteger: Number(number) }
  if (type === 'decimal' && /^[-+]?\d{1,15}(\.\d{1,15})?$/.test(number))
    return { valueDecimal: Number(number) }
  return { valueString: text }
}

function wordsOf(answer: Answer | undefined): string {
  if (!answer) return ''
  const { valueString, valueDate, valueInteger, valueDecimal } = answer
  return String(valueString ?? valueDate ?? valueInteger ?? valueDecimal ?? '')
}
