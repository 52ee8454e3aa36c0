import { useState } from 'react'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { IntakeForm } from './IntakeForm'
import type { Intake } from './useIntake'

/** Questions before the visit: answered here or, unless the clinic must have them, left for the call. */
export function IntakeCard({ intake }: { intake: Intake }) {
  const { kept, phase, answers } = intake.state
  const [open, setOpen] = useState(false)
  if (!kept?.questionnaire || kept.closed) return null
  const begun = Object.keys(answers).length > 0
  if (kept.done && !open) {
    return (
      <section className="card stack" aria-labelledby="intake-heading">
        <h2 id="intake-heading">{t('intake.title')}</h2>
        <Notice tone="good" title={t('intake.done')} />
        <div className="row">
          <Button look="plain" onClick={() => setOpen(true)}>
            {t('intake.change')}
          </Button>
        </div>
      </section>
    )
  }
  return (
    <section className="card stack" aria-labelledby="intake-heading">
      <div className="row spread">
        <h2 id="intake-heading">{t('intake.title')}</h2>
        {(open || kept.required || begun) && (
          <p className="small soft" role="status">
            {t(`intake.is.${phase === 'idle' ? 'saved' : phase}`)}
          </p>
        )}
      </div>
      <p>{kept.required ? t('intake.required') : t('intake.optional')}</p>
      {open || kept.required || begun ? (
        <IntakeForm
          questionnaire={kept.questionnaire}
          answers={answers}
          onAnswer={(linkId, given) => intake.keeper.set(linkId, given)}
          onDone={async () => {
            const wrong = await intake.keeper.complete()
            if (wrong?.length === 0) setOpen(false)
            return wrong
          }}
        />
      ) : (
        <div className="row">
          <Button onClick={() => setOpen(true)}>{t('intake.begin')}</Button>
        </div>
      )}
    </section>
  )
}
