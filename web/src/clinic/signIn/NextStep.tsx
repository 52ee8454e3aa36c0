import { useState } from 'react'
import type { SignInStep } from '../../api/types'
import { Button } from '../../design/Button'
import { t } from '../../i18n/text'
import { AddFactor } from '../security/AddFactor'
import { ApproveElsewhere } from './ApproveElsewhere'
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
        <SecondStep step={step} onSignedIn={onSignedIn} />
      )}
      <Button look="plain" onClick={onStartOver}>
        {t('signIn.startOver')}
      </Button>
    </div>
  )
}

/** Something the person has here, or a device on which they are signed in. */
function SecondStep({ step, onSignedIn }: Omit<Props, 'onStartOver'>) {
  const [approving, setApproving] = useState(false)
  const factors = step.factors ?? []
  if (approving) return <ApproveElsewhere onSignedIn={onSignedIn} />
  return (
    <>
      <SecondFactor factors={factors} onSignedIn={onSignedIn} />
      {factors.includes('approval') && (
        <Button onClick={() => setApproving(true)}>{t('second.approve')}</Button>
      )}
    </>
  )
}
