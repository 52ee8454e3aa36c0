import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { plural, t } from '../../i18n/text'
import { StaffPage } from '../StaffPage'
import { useStaff } from '../staff'
import { AuditFilters } from './AuditFilters'
import { AuditTable } from './AuditTable'
import { Download } from './Download'
import { beginning, type Filters, queryOf } from './filters'
import { Sources } from './Sources'

/** Who saw and who changed what: searched, ordered, and taken along as a file. */
export function AuditPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const zone = session.clinic.timeZone
  const [filters, setFilters] = useState<Filters>(() => beginning(zone))
  /** Where each page begins that was passed through; the last is shown. */
  const [pages, setPages] = useState<(string | undefined)[]>([undefined])
  const after = pages.at(-1)

  const load = useCallback(() => {
    const query = { ...queryOf(filters, zone), ...(after && { after }) }
    return body(api.GET('/c/{clinic}/audit/events', { params: { path: { clinic }, query } }))
  }, [api, clinic, filters, zone, after])
  const { data, error } = useLoaded(load)

  function change(wanted: Filters) {
    setPages([undefined])
    setFilters(wanted)
  }

  return (
    <StaffPage title={t('audit.title')} wide>
      <p className="soft">{t('audit.body')}</p>
      <AuditFilters filters={filters} onChange={change} />
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('audit.none')} />)}
      {data && (
        <>
          <Sources sources={data.sources} />
          <div className="row spread">
            <p role="status">{plural('audit.matched', data.matched)}</p>
            <Download filters={filters} zone={zone} />
          </div>
          {data.events.length > 0 && (
            <AuditTable
              events={data.events}
              zone={zone}
              onUser={(user, userName) => change({ ...filters, user, userName })}
              onPatient={(patient, patientName) => change({ ...filters, patient, patientName })}
            />
          )}
          <nav className="row" aria-label={t('audit.pages')}>
            {pages.length > 1 && (
              <Button onClick={() => setPages(pages.slice(0, -1))}>{t('audit.back')}</Button>
            )}
            {data.next && <Button onClick={() => setPages([...pages, data.next])}>{t('audit.next')}</Button>}
          </nav>
        </>
      )}
    </StaffPage>
  )
}
