import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { Recall } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { plural, t } from '../../i18n/text'
import { dateText, dayOf, dayText } from '../../i18n/time'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { RecallRules } from './RecallRules'

/** Who is to be seen again now or soon. Whoever books leaves the list by themselves. */
export function RecallsPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/recalls', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const [failed, setFailed] = useState(false)

  async function act(done: Promise<unknown>) {
    setFailed(
      !(await done.then(
        () => true,
        () => false,
      )),
    )
    await reload()
  }
  const params = (id: string) => ({ params: { path: { clinic, id } } })
  const contact = (id: string) => act(body(api.POST('/c/{clinic}/messages/recalls/{id}/contact', params(id))))
  const close = (id: string) => act(body(api.POST('/c/{clinic}/messages/recalls/{id}/close', params(id))))

  return (
    <StaffPage title={t('recalls.title')}>
      <p className="soft">{t('recalls.body')}</p>
      {failed && <Notice tone="bad" title={t('recalls.failed')} />}
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data?.recalls.length === 0 && <p>{t('recalls.empty')}</p>}
      <ul className="stack">
        {data?.recalls.map((recall) => (
          <RecallItem
            key={recall.id}
            recall={recall}
            zone={data.timeZone}
            contact={() => contact(recall.id)}
            close={() => close(recall.id)}
          />
        ))}
      </ul>
      <RecallRules canChange={hasRole(session, 'doctor', 'clinic-admin')} />
    </StaffPage>
  )
}

interface Props {
  recall: Recall
  zone: string
  contact: () => Promise<void>
  close: () => Promise<void>
}

function RecallItem({ recall, zone, contact, close }: Props) {
  const { lastAttemptAt } = recall
  return (
    <li className="card stack close">
      <div className="row spread">
        <h2>{recall.patient}</h2>
        <span className="chip">{t('recalls.due', { day: dateText(recall.dueOn) })}</span>
      </div>
      {recall.reason !== undefined && <p>{recall.reason}</p>}
      <p className="soft small">
        {plural('recalls.attempts', recall.attempts)}
        {lastAttemptAt !== null && ` · ${dayText(dayOf(lastAttemptAt, zone))}`}
      </p>
      <div className="row">
        <Button aria-label={`${t('recalls.contact')}: ${recall.patient}`} onClick={() => void contact()}>
          {t('recalls.contact')}
        </Button>
        <Button
          look="plain"
          aria-label={`${t('recalls.close')}: ${recall.patient}`}
          onClick={() => void close()}
        >
          {t('recalls.close')}
        </Button>
      </div>
    </li>
  )
}
