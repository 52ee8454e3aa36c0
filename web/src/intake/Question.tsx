import { useId } from 'react'
import { t } from '../i18n/text'
import { ChoiceAnswer } from './ChoiceAnswer'
import type { Answer, Item, MistakeKind } from './rules'
import { TypedAnswer } from './TypedAnswer'
import { textOf } from './translated'

interface Props {
  item: Item
  given: readonly Answer[]
  mistake: MistakeKind | undefined
  onAnswer: (given: readonly Answer[]) => void
}

/** What every kind of answer is told: its names on the page, and whether it is wrong. */
export interface AnswerProps {
  item: Item
  given: readonly Answer[]
  labelId: string
  errorId: string | undefined
  onAnswer: (given: readonly Answer[]) => void
}

/** One question with its answer, and what is wrong with that. */
export function Question({ item, given, mistake, onAnswer }: Props) {
  const id = useId()
  const choice = item.type === 'boolean' || item.answerOption !== undefined
  const [labelId, errorId] = [`${id}-label`, mistake && `${id}-error`]
  const parts = { item, given, labelId, errorId, onAnswer }
  const label = (
    <>
      {textOf(item)}
      {item.required && <span className="soft"> {t('intake.mustAnswer')}</span>}
    </>
  )
  const error = mistake && (
    <span className="field-error" id={errorId}>
      {t(mistake === 'disabled' ? 'intake.wrong.type' : `intake.wrong.${mistake}`)}
    </span>
  )
  if (choice) {
    return (
      <fieldset className="stack close" data-question={item.linkId} aria-describedby={errorId}>
        <legend className="field-label" id={labelId}>
          {label}
        </legend>
        <ChoiceAnswer {...parts} />
        {error}
      </fieldset>
    )
  }
  return (
    <div className="field" data-question={item.linkId}>
      <label htmlFor={`${labelId}-0`} id={labelId}>
        {label}
      </label>
      <TypedAnswer {...parts} />
      {error}
    </div>
  )
}
