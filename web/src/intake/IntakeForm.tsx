import { type SyntheticEvent, useRef, useState } from 'react'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { Questions } from './Questions'
import type { Answer, Answers, Mistake, Questionnaire } from './rules'

interface Props {
  questionnaire: Questionnaire
  answers: Answers
  onAnswer: (linkId: string, given: readonly Answer[]) => void
  /** What is still wrong; `null`: the clinic could not be told. */
  onDone: () => Promise<readonly Mistake[] | null>
}

/** A questionnaire as a form: only what is asked after the answers so far is there. */
export function IntakeForm({ questionnaire, answers, onAnswer, onDone }: Props) {
  const [tried, setTried] = useState(false)
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState(false)
  const form = useRef<HTMLFormElement>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailed(false)
    const wrong = await onDone().finally(() => setBusy(false))
    setFailed(wrong === null)
    setTried(true)
    const [first] = wrong ?? []
    // Once the form shows what is wrong.
    if (first) requestAnimationFrame(() => focusOn(form.current, first.linkId))
  }

  return (
    <form ref={form} className="stack wide" noValidate onSubmit={(event) => void submit(event)}>
      <Questions questionnaire={questionnaire} answers={answers} complete={tried} onAnswer={onAnswer} />
      {failed && <Notice tone="bad" title={t('intake.failed')} />}
      <Button type="submit" look="primary" busy={busy}>
        {t('intake.submit')}
      </Button>
    </form>
  )
}

function focusOn(form: HTMLFormElement | null, linkId: string) {
  const question = form?.querySelector(`[data-question="${CSS.escape(linkId)}"]`)
  question?.querySelector<HTMLElement>('input, textarea, select')?.focus()
}
