import { useId, useState } from 'react'
import { Button } from '../../design/Button'
import { t } from '../../i18n/text'
import { Questions } from '../../intake/Questions'
import type { Answer, Questionnaire } from '../../intake/rules'
import type { InputError, Row } from './fields'

interface Props {
  row: Row
  /** Where the row stands in the bundle. */
  place: string
  errors: readonly InputError[]
  /** The clinic has found nothing wrong with it, as it stands. */
  checked: boolean
  onChange: (row: Row) => void
}

/** A questionnaire as FHIR R4 has it, what is wrong in it and where, and what patients will see. */
export function QuestionnaireText({ row, place, errors, checked, onChange }: Props) {
  const id = useId()
  // As it was typed, while it is still what the row holds.
  const [typed, setTyped] = useState<{ text: string; value: unknown } | null>(null)
  const text =
    typed && typed.value === row.questionnaire ? typed.text : JSON.stringify(row.questionnaire, null, 2)
  const [shown, setShown] = useState(false)
  const own = `${place}/questionnaire`
  const wrong = errors.filter(({ pointer }) => pointer === own || pointer.startsWith(`${own}/`))
  return (
    <div className="stack close">
      <div className="field">
        <label htmlFor={id}>{t('setUp.field.questionnaire')}</label>
        <textarea
          id={id}
          className="input code"
          rows={12}
          spellCheck={false}
          value={text}
          aria-invalid={wrong.length > 0 ? true : undefined}
          aria-describedby={wrong.length > 0 ? `${id}-wrong` : undefined}
          onChange={(event) => {
            const now = { text: event.target.value, value: read(event.target.value) }
            setTyped(now)
            onChange({ ...row, questionnaire: now.value })
          }}
        />
        {wrong.length > 0 && (
          <ul id={`${id}-wrong`} className="stack tight">
            {wrong.map(({ pointer, detail }) => (
              <li key={pointer} className="field-error">
                {pointer === own ? detail : `${pointer.slice(own.length)}: ${detail}`}
              </li>
            ))}
          </ul>
        )}
      </div>
      <div className="row">
        <Button look="plain" disabled={!checked} aria-expanded={shown} onClick={() => setShown(!shown)}>
          {t(shown ? 'setUp.preview.hide' : 'setUp.preview')}
        </Button>
        {!checked && <span className="soft small">{t('setUp.preview.first')}</span>}
      </div>
      {shown && checked && <Preview questionnaire={row.questionnaire as Questionnaire} />}
    </div>
  )
}

/** With answers that go nowhere. */
function Preview({ questionnaire }: { questionnaire: Questionnaire }) {
  const [answers, setAnswers] = useState<Record<string, readonly Answer[]>>({})
  return (
    <section className="card stack" aria-label={t('setUp.preview')}>
      <Questions
        questionnaire={questionnaire}
        answers={answers}
        complete={false}
        onAnswer={(linkId, given) => setAnswers({ ...answers, [linkId]: given })}
      />
    </section>
  )
}

/** What is no JSON is told to the clinic as it is: it says what it wants there. */
function read(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
