import type { SignInStep } from '../../api/types'
import { Button } from '../../design/Button'
import { t } from '../../i18n/text'
import { AddFactor } from '../security/AddFactor'
import { SecondFactor } from './SecondFactor'

interface Props {
  step: SignInStep
  onSignedIn: () => Promise<void>
  onStartOver: () => void
}

/** What comes after the password: a second factor, or the first one of somebody who has none. */
export function NextStep({ step, onSignedIn, onStartOver }: Props) {
  return (
    <div className="stack">
      {step.next === 'enrolment' ? (
        <>
          <div className="stack tight">
            <h2>{t('enrol.title')}</h2>
            <p className="soft">{t('enrol.body')}</p>
          </div>
          <AddFactor onAdded={onSignedIn} />
        </>
      ) : (
        <SecondFactor factors={step.factors ?? []} onSignedIn={onSignedIn} />
      )}
      <Button look="plain" onClick={onStartOver}>
        {t('signIn.startOver')}
      </Button>
    </div>
  )
}
