import { useCallback, useMemo, useRef, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasStatus } from '../api/problem'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { match, navigate, usePlace } from '../routing'
import { StaffRoutes } from './StaffRoutes'
import { EnrolPage } from './signIn/EnrolPage'
import { ExternalPage } from './signIn/ExternalPage'
import { ProofArea } from './signIn/ProofArea'
import { SignInForm } from './signIn/SignInForm'
import { SignInPage } from './signIn/SignInPage'
import { WaitingApprovals } from './signIn/WaitingApprovals'
import { StaffContext } from './staff'
import { useOutboxThere } from './useOutboxThere'
import { useSessionLost } from './useSessionLost'
import './clinic.css'

/** The staff's side. A session that ends in the middle of a call asks to sign in over the call, not instead of it. */
export function ClinicArea() {
  const { api, clinic } = useClinicApi()
  const { path } = usePlace()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/session', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const session = useLoaded(load)
  const [signedOut, setSignedOut] = useState(false)
  const { lost, regained } = useSessionLost(api)
  const outbox = useOutboxThere(session.data)

  const guards = useRef(new Set<() => Promise<boolean>>())
  const [unsaved, setUnsaved] = useState(false)
  const beforeSignOut = useCallback((isSafe: () => Promise<boolean>) => {
    guards.current.add(isSafe)
    return () => void guards.current.delete(isSafe)
  }, [])

  const leave = useCallback(async () => {
    setUnsaved(false)
    await api.DELETE('/c/{clinic}/auth/session', { params: { path: { clinic } } }).catch(() => undefined)
    setSignedOut(true)
    // Whoever signs in next begins at the beginning.
    navigate(`/clinic/${clinic}`, 'replace')
  }, [api, clinic])

  const signOut = useCallback(async () => {
    for (const isSafe of guards.current) {
      if (!(await isSafe())) return setUnsaved(true)
    }
    await leave()
  }, [leave])

  const staff = useMemo(
    () => session.data && { session: session.data, signOut, beforeSignOut, outbox },
    [session.data, signOut, beforeSignOut, outbox],
  )

  const signedIn = useCallback(async () => {
    await session.reload()
    setSignedOut(false)
    regained()
  }, [session.reload, regained])

  const enrolled = useCallback(async () => {
    navigate(`/clinic/${clinic}`, 'replace')
    await signedIn()
  }, [clinic, signedIn])

  const cameBack = useCallback(
    async (place: string) => {
      navigate(place, 'replace')
      await signedIn()
    },
    [signedIn],
  )

  if (match('/clinic/:clinic/external', path)) return <ExternalPage onSignedIn={cameBack} />
  if (match('/clinic/:clinic/enrol', path)) return <EnrolPage onSignedIn={enrolled} />
  if (signedOut || (!staff && hasStatus(session.error, 401))) return <SignInPage onSignedIn={signedIn} />
  if (!staff) {
    return (
      <Page name={t('product.name')} title={t('signIn.title')} narrow>
        {session.error === null ? (
          <Loading />
        ) : (
          <Notice tone="bad" title={t('network.unreachable')}>
            <Button onClick={() => void session.reload()}>{t('page.tryAgain')}</Button>
          </Notice>
        )}
      </Page>
    )
  }
  return (
    <StaffContext value={staff}>
      <ProofArea>
        <StaffRoutes />
      </ProofArea>
      {!lost && <WaitingApprovals />}
      {unsaved && (
        <Dialog title={t('signOut.unsaved')} onClose={() => setUnsaved(false)}>
          <p>{t('signOut.unsaved.body')}</p>
          <div className="row">
            <Button look="primary" onClick={() => setUnsaved(false)}>
              {t('signOut.stay')}
            </Button>
            <Button look="danger" onClick={() => void leave()}>
              {t('signOut.anyway')}
            </Button>
          </div>
        </Dialog>
      )}
      {lost && (
        <Dialog title={t('signIn.again')}>
          <p>{t('signIn.again.body')}</p>
          <SignInForm onSignedIn={signedIn} />
        </Dialog>
      )}
    </StaffContext>
  )
}
