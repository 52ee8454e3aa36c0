import { useCallback, useRef } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { GuestRoom } from './GuestRoom'
import { useInvitation } from './invitation'
import { LinkProof, type Proof } from './LinkProof'
import { LostLink } from './LostLink'
import { VisitOver } from './VisitOver'
import { VisitRoom } from './VisitRoom'

/** Where an invitation leads. Opening the page has no effect; the token is used by this page's own request. */
export function VisitPage() {
  const { api, clinic } = useClinicApi()
  const token = useInvitation(clinic)
  const proof = useRef<Proof | null>(null)
  const open = useCallback(async () => {
    const { guest } = await body(
      api.POST('/c/{clinic}/auth/visit-sessions', {
        params: { path: { clinic } },
        body: { token: token ?? '', ...proof.current },
      }),
    )
    return { guest }
  }, [api, clinic, token])
  const session = useLoaded(token ? open : null)

  async function prove(given: Proof) {
    proof.current = given
    // The form says what is refused; the page goes on with what is opened.
    try {
      await open()
    } finally {
      proof.current = null
    }
    await session.reload()
  }

  if (hasStatus(session.error, 410)) {
    return <VisitOver withdrawn={hasSlug(session.error, 'link-withdrawn')} />
  }
  if (token && hasSlug(session.error, 'link-proof-required')) {
    const by = session.error.document.proof === 'code' ? 'code' : 'birth-date'
    return <LinkProof by={by} token={token} onProof={prove} />
  }
  if (session.data?.guest) return <GuestRoom onUseHere={session.reload} />
  if (session.data) return <VisitRoom onSessionLost={session.reload} />
  if (!token || hasStatus(session.error, 404)) {
    return (
      <Page name={t('product.name')} title={t('link.unknown')} narrow>
        <p>{t('link.unknown.help')}</p>
        <LostLink />
      </Page>
    )
  }
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
