import { Question } from './Question'
import { type Answer, type Answers, type Item, lookAt, type Questionnaire } from './rules'
import { textOf } from './translated'
import './intake.css'

interface Props {
  questionnaire: Questionnaire
  answers: Answers
  /** Also what is missing is a mistake. */
  complete: boolean
  onAnswer: (linkId: string, given: readonly Answer[]) => void
}

/** The questions that are asked after the answers so far. */
export function Questions({ questionnaire, answers, complete, onAnswer }: Props) {
  const { enabled, mistakes } = lookAt(questionnaire.item, answers, complete)

  const mistakeOf = (linkId: string) =>
    mistakes.find((mistake) => mistake.linkId === linkId && mistake.kind !== 'disabled')?.kind

  const shown = (items: readonly Item[]) =>
    items
      .filter(({ linkId }) => enabled.has(linkId))
      .map((item) => {
        if (item.type === 'display') return <p key={item.linkId}>{textOf(item)}</p>
        if (item.type !== 'group') {
          return (
            <Question
              key={item.linkId}
              item={item}
              given={answers[item.linkId] ?? []}
              mistake={mistakeOf(item.linkId)}
              onAnswer={(given) => onAnswer(item.linkId, given)}
            />
          )
        }
        return (
          <fieldset key={item.linkId} className="intake-group stack">
            {item.text && <legend>{textOf(item)}</legend>}
            {shown(item.item ?? [])}
          </fieldset>
        )
      })

  return <>{shown(questionnaire.item)}</>
}
