import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import { useLoaded } from '../../api/useLoaded'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { Thread } from '../../design/Thread'
import { t } from '../../i18n/text'
import { StaffPage } from '../StaffPage'

const POLL_MS = 10_000

/** The conversation with the patient of a visit. */
export function ConversationPage({ appointmentId }: { appointmentId: string }) {
  const { api, clinic } = useClinicApi()
  const params = { path: { clinic, id: appointmentId } }
  const load = useCallback(
    () =>
      body(
        api.GET('/c/{clinic}/messages/appointments/{id}/thread', {
          params: { path: { clinic, id: appointmentId } },
        }),
      ),
    [api, clinic, appointmentId],
  )
  const { data, error, reload } = useLoaded(load, { everyMs: POLL_MS })

  async function send(text: string) {
    const sent = body(
      api.POST('/c/{clinic}/messages/appointments/{id}/thread', { params, body: { text } }),
    ).then(
      () => true,
      () => false,
    )
    const done = await sent
    await reload()
    return done
  }

  const why = hasStatus(error, 403) ? t('thread.notYours') : t('network.unreachable')
  return (
    <StaffPage title={t('thread.title')}>
      <p className="soft">{t('thread.body')}</p>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={why} />)}
      {data && <Thread messages={data.messages} zone={data.timeZone} own="staff" send={send} />}
    </StaffPage>
  )
}
