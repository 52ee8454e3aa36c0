import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import type { PatientSession } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { dayOf, dayText } from '../../i18n/time'
import { Link } from '../../Link'
import { OwnProxies } from '../proxies/OwnProxies'
import { OwnVisits } from './OwnVisits'
import { PasskeyList } from './PasskeyList'
import { PatientSignIn } from './PatientSignIn'

/** A patient's own visits, or those of the patient that somebody acts for. Nobody needs this page to come to a visit. */
export function AccountPage() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/patient/session', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)

  if (hasStatus(error, 401)) return <PatientSignIn onSignedIn={reload} />
  if (!data) {
    return (
      <Page name={t('product.name')} title={t('account.title')} narrow>
        {error === null ? (
          <Loading />
        ) : (
          <Notice tone="bad" title={t('network.unreachable')}>
            <Button onClick={() => void reload()}>{t('page.tryAgain')}</Button>
          </Notice>
        )}
      </Page>
    )
  }
  return <Account session={data} reload={reload} />
}

function Account({ session, reload }: { session: PatientSession; reload: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const { proxy } = session
  const may = (scope: 'book' | 'join' | 'read') => !proxy || proxy.scopes.includes(scope)

  async function signOut() {
    await api
      .DELETE('/c/{clinic}/auth/patient/session', { params: { path: { clinic } } })
      .catch(() => undefined)
    await reload()
  }

  return (
    <Page
      name={session.clinic.name}
      title={proxy ? t('account.title.proxy', { name: session.patient }) : t('account.title')}
      subtitle={proxy ? undefined : session.patient}
      actions={
        <nav aria-label={t('account.nav')}>
          <Button look="plain" onClick={() => void signOut()}>
            {t('account.signOut')}
          </Button>
        </nav>
      }
    >
      {proxy && (
        <Notice>
          <p>
            {t('account.proxyUntil', {
              name: session.patient,
              // The instant is the midnight that ends the last day.
              day: dayText(dayOf(Date.parse(proxy.endsAt) - 1, session.clinic.timeZone)),
              scopes: proxy.scopes.map((scope) => t(`scope.${scope}`)).join(', '),
            })}
          </p>
        </Notice>
      )}
      {may('book') && (
        <p>
          <Link className="button primary" href={`/c/${clinic}`}>
            {t('account.book')}
          </Link>
        </p>
      )}
      {may('read') && <OwnVisits mayJoin={may('join')} />}
      {!proxy && (
        <p>
          <Link href={`/c/${clinic}/account/messages`}>{t('thread.own')}</Link>
        </p>
      )}
      {!proxy && <OwnProxies />}
      {session.passkeys && <PasskeyList passkeys={session.passkeys} onChanged={reload} />}
    </Page>
  )
}
