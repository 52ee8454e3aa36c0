import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { Page } from '../../design/Page'
import { Thread } from '../../design/Thread'
import { t } from '../../i18n/text'
import { Link } from '../../Link'
import { PatientSignIn } from './PatientSignIn'

const POLL_MS = 15_000

/** What a patient and the clinic write to each other. */
export function OwnMessagesPage() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/own-thread', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load, { everyMs: POLL_MS })
  if (hasStatus(error, 401)) return <PatientSignIn onSignedIn={reload} />

  async function send(text: string) {
    const params = { path: { clinic } }
    const done = await body(api.POST('/c/{clinic}/messages/own-thread', { params, body: { text } })).then(
      () => true,
      () => false,
    )
    await reload()
    return done
  }

  return (
    <Page name={t('product.name')} title={t('thread.own')} narrow>
      <p className="soft">{t('thread.own.body')}</p>
      <p>
        <Link href={`/c/${clinic}/account`}>{t('thread.toAccount')}</Link>
      </p>
      {!data && error === null && <Loading />}
      {!data && error !== null && (
        <Notice tone="bad" title={t('network.unreachable')}>
          <Button onClick={() => void reload()}>{t('page.tryAgain')}</Button>
        </Notice>
      )}
      {data && <Thread messages={data.messages} zone={data.timeZone} own="patient" send={send} />}
    </Page>
  )
}
