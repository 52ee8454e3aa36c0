import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { t } from '../../i18n/text'
import { dayOf, dayText, readerZone } from '../../i18n/time'

/** Apps that one has let in. Where there are none, nothing is shown. */
export function GrantList() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/oauth/grants', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, reload } = useLoaded(load)

  async function end(id: string) {
    const params = { path: { clinic, id } }
    await api.DELETE('/c/{clinic}/auth/oauth/grants/{id}', { params }).catch(() => undefined)
    await reload()
  }

  if (!data || data.grants.length === 0) return null
  return (
    <section className="card stack" aria-labelledby="grants">
      <h2 id="grants">{t('grants.title')}</h2>
      <ul className="rows">
        {data.grants.map((grant) => (
          <li key={grant.id} className="row spread">
            <span>
              <strong>{grant.name}</strong>{' '}
              <span className="soft">
                {t('factor.since', { day: dayText(dayOf(grant.createdAt, readerZone())) })}
              </span>
            </span>
            <Button
              aria-label={t('grants.endNamed', { name: grant.name })}
              onClick={() => void end(grant.id)}
            >
              {t('grants.end')}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  )
}
