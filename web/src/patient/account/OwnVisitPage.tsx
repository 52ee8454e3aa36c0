import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { NotFoundPage } from '../../NotFoundPage'
import { match, usePlace } from '../../routing'
import { VisitOver } from '../VisitOver'
import { VisitRoom } from '../VisitRoom'
import { PatientSignIn } from './PatientSignIn'

/** A visit, opened from an account: no link is needed. */
export function OwnVisitPage() {
  const { api, clinic } = useClinicApi()
  const { path } = usePlace()
  const id = match('/c/:clinic/account/visit/:id', path)?.id ?? ''
  const open = useCallback(
    () =>
      body(
        api.POST('/c/{clinic}/auth/patient/visits/{id}/session', {
          params: { path: { clinic, id } },
          body: {},
        }),
      ),
    [api, clinic, id],
  )
  const session = useLoaded(open)

  if (hasStatus(session.error, 410)) return <VisitOver />
  if (hasStatus(session.error, 404)) return <NotFoundPage />
  if (hasStatus(session.error, 401)) return <PatientSignIn onSignedIn={session.reload} />
  if (session.data) return <VisitRoom onSessionLost={session.reload} />
  return (
    <Page name={t('product.name')} title={t('visit.title')} narrow>
      {session.error === null ? (
        <Loading label={t('link.opening')} />
      ) : (
        <Notice tone="bad" title={t('network.unreachable')}>
          <Button onClick={() => void session.reload()}>{t('page.tryAgain')}</Button>
        </Notice>
      )}
    </Page>
  )
}
