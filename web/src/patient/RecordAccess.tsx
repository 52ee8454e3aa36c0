import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { RecordAccess as Seen } from '../api/types'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { instantText, readerZone } from '../i18n/time'

/** Who saw my record: asked for, it is fetched. */
export function RecordAccess() {
  const [open, setOpen] = useState(false)
  return (
    <section className="stack close" aria-labelledby="access-heading">
      <h2 id="access-heading">{t('access.title')}</h2>
      {open ? (
        <List />
      ) : (
        <div className="row">
          <Button onClick={() => setOpen(true)}>{t('access.show')}</Button>
        </div>
      )}
    </section>
  )
}

function List() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/audit/record-access', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load)
  if (!data) {
    return error === null ? <Loading /> : <Notice tone="bad" title={t('access.none')} />
  }
  return (
    <>
      {data.sources.some(({ state }) => state !== 'answered') && (
        <Notice tone="warm" title={t('access.incomplete')} />
      )}
      {data.accesses.length === 0 && <p>{t('access.empty')}</p>}
      <ul className="stack close">
        {data.accesses.map((access) => (
          <li
            key={`${access.recorded} ${access.code} ${access.name ?? access.by}`}
            className="card stack tight"
          >
            <p>
              <strong>{who(access)}</strong> {t(`access.did.${access.action}`)}
              {access.emergency && <span className="chip warm">{t('audit.emergency')}</span>}
            </p>
            <p className="small soft">{instantText(access.recorded, readerZone())}</p>
          </li>
        ))}
      </ul>
      {data.more && <p className="soft">{t('access.more')}</p>}
    </>
  )
}

function who({ by, name, roles }: Seen['accesses'][number]): string {
  if (by === 'you') return t('access.you')
  if (by === 'guest') return t('access.guest')
  if (by === 'proxy') return t('access.proxy')
  const known = roles.map((role) => t(`role.${role}`)).join(', ')
  return known ? `${name ?? ''} (${known})` : (name ?? '')
}
