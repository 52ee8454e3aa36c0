import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { dayOf, dayText, readerZone, timeText } from '../../i18n/time'
import { deviceText } from '../signIn/passkeys'

/** Where one is signed in, and how to end that from here. */
export function SessionList() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/sessions', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const zone = readerZone()

  async function end(id: string) {
    await api
      .DELETE('/c/{clinic}/auth/sessions/{id}', { params: { path: { clinic, id } } })
      .catch(() => undefined)
    await reload()
  }

  async function endOthers() {
    await api.DELETE('/c/{clinic}/auth/sessions', { params: { path: { clinic } } }).catch(() => undefined)
    await reload()
  }

  return (
    <section className="card stack" aria-labelledby="sessions">
      <h2 id="sessions">{t('sessions.title')}</h2>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      <ul className="rows">
        {data?.sessions.map((session) => (
          <li key={session.id} className="row spread">
            <span>
              <strong>{deviceText(session.device) || t('sessions.unknown')}</strong>{' '}
              <span className="soft">
                {t('sessions.since', {
                  day: dayText(dayOf(session.beganAt, zone)),
                  time: timeText(session.beganAt, zone),
                })}
                {session.country && ` · ${session.country}`}
              </span>
            </span>
            {session.current ? (
              <span className="chip good">{t('sessions.current')}</span>
            ) : (
              <Button onClick={() => void end(session.id)}>{t('sessions.end')}</Button>
            )}
          </li>
        ))}
      </ul>
      {data && data.sessions.length > 1 && (
        <div className="row">
          <Button onClick={() => void endOthers()}>{t('sessions.endOthers')}</Button>
        </div>
      )}
    </section>
  )
}
