import { useId, useState } from 'react'
import { t } from '../i18n/text'
import type { AnswerProps } from './Question'
import { type Answer, isSame } from './rules'
import { nameOf } from './translated'

/** Yes or no, one of several, or several of them; with words of one's own where they are welcome. */
export function ChoiceAnswer({ item, given, labelId, errorId, onAnswer }: AnswerProps) {
  const name = useId()
  const yesOrNo = [
    { answer: { valueBoolean: true }, text: t('intake.yes') },
    { answer: { valueBoolean: false }, text: t('intake.no') },
  ]
  const options: readonly { answer: Answer; text: string }[] =
    item.type === 'boolean'
      ? yesOrNo
      : (item.answerOption ?? []).map((answer) => ({ answer, text: nameOf(answer) }))
  const own = given.filter((answer) => !options.some((option) => isSame(option.answer, answer)))
  const [other, setOther] = useState(own.length > 0)
  const type = item.repeats ? 'checkbox' : 'radio'
  const input = { type, name, 'aria-invalid': errorId ? true : undefined } as const
  const offered = given.filter((answer) => !own.includes(answer))

  function choose(answer: Answer, chosen: boolean) {
    if (!item.repeats) {
      setOther(false)
      onAnswer([answer])
    } else if (chosen) onAnswer([...given, answer])
    else onAnswer(given.filter((one) => !isSame(one, answer)))
  }

  function chooseOther(chosen: boolean) {
    setOther(chosen)
    if (!item.repeats) onAnswer([])
    else if (!chosen) onAnswer(offered)
  }

  return (
    <>
      {options.map(({ answer, text }) => (
        <label key={text} className="choice">
          <input
            {...input}
            checked={!(other && !item.repeats) && given.some((one) => isSame(one, answer))}
            onChange={(event) => choose(answer, event.target.checked)}
          />
          <span>{text}</span>
        </label>
      ))}
      {item.type === 'open-choice' && (
        <label className="choice">
          <input {...input} checked={other} onChange={(event) => chooseOther(event.target.checked)} />
          <span>{t('intake.other')}</span>
        </label>
      )}
      {other && (
        <input
          className="input"
          aria-labelledby={labelId}
          aria-describedby={errorId}
          value={own[0]?.valueString ?? ''}
          onChange={({ target: { value } }) => {
            const words = value === '' ? [] : [{ valueString: value }]
            onAnswer(item.repeats ? [...offered, ...words] : words)
          }}
        />
      )}
    </>
  )
}
