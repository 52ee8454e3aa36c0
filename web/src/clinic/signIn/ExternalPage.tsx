import { useEffect, useRef, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import type { SignInStep } from '../../api/types'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { takePlace } from './external'
import { NextStep } from './NextStep'

type Failure = 'refused' | 'unknown' | 'taken' | 'unreachable'

/** Somebody comes back from elsewhere: they are in, owe a second factor, or have tied their account. */
export function ExternalPage({ onSignedIn }: { onSignedIn: (place: string) => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const [step, setStep] = useState<SignInStep | null>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const begun = useRef(false)
  const home = `/clinic/${clinic}`

  useEffect(() => {
    // It is answered once: a second run of this effect would be refused.
    if (begun.current) return
    begun.current = true
    const query = location.search.slice(1)
    // Nobody reads it over a shoulder, and a reload does not send it again.
    history.replaceState(history.state, '', location.pathname)
    const params = { path: { clinic } }
    body(api.POST('/c/{clinic}/auth/external-sign-ins/answer', { params, body: { query } }))
      .then(async (answer) => {
        if ('linked' in answer) await onSignedIn(`${home}/security`)
        else if (answer.next) setStep(answer)
        else await onSignedIn(takePlace(clinic))
      })
      .catch((error: unknown) => setFailure(failureOf(error)))
  }, [api, clinic, home, onSignedIn])

  return (
    <Page name={t('product.name')} title={t('signIn.title')} narrow>
      <div className="card stack">
        {step ? (
          <NextStep
            step={step}
            onSignedIn={() => onSignedIn(takePlace(clinic))}
            onStartOver={() => void onSignedIn(home)}
          />
        ) : failure ? (
          <>
            <Notice tone="bad" title={t(`external.${failure}`)} />
            <Button onClick={() => void onSignedIn(home)}>{t('signIn.startOver')}</Button>
          </>
        ) : (
          <Loading />
        )}
      </div>
    </Page>
  )
}

function failureOf(error: unknown): Failure {
  if (hasSlug(error, 'external-unknown')) return 'unknown'
  if (hasSlug(error, 'external-taken')) return 'taken'
  return hasSlug(error, 'external-refused', 'invalid-input') ? 'refused' : 'unreachable'
}
