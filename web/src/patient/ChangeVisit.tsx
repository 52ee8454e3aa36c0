import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Visit } from '../api/types'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { saveAs } from '../design/saveAs'
import { t } from '../i18n/text'
import { AnotherTime } from '../times/AnotherTime'
import { CancelVisit } from '../times/CancelVisit'
import { Earlier } from './Earlier'

interface Props {
  visit: Visit
  reload: () => Promise<void>
  onCancelled: () => void
}

/** What a patient may do with a booked visit besides coming to it. */
export function ChangeVisit({ visit, reload, onCancelled }: Props) {
  const { api, clinic } = useClinicApi()
  const [open, setOpen] = useState<'time' | 'cancel' | null>(null)
  const [news, setNews] = useState<'moved' | 'calendarFailed' | null>(null)
  const params = { path: { clinic } }

  async function keepInCalendar() {
    try {
      const text = await body(api.GET('/c/{clinic}/scheduling/visit/calendar', { params, parseAs: 'text' }))
      saveAs(new Blob([text], { type: 'text/calendar' }), 'visit.ics')
    } catch {
      setNews('calendarFailed')
    }
  }

  async function moved() {
    setOpen(null)
    setNews('moved')
    await reload()
  }

  return (
    <section className="card stack" aria-labelledby="change-heading">
      <h2 id="change-heading">{t('change.title')}</h2>
      {news === 'moved' && <Notice tone="good" title={t('change.moved')} />}
      {news === 'calendarFailed' && <Notice tone="bad" title={t('change.failed')} />}
      {open === 'time' && visit.changeUntil ? (
        <AnotherTime
          service={visit.service.id}
          clinicZone={visit.clinic.timeZone}
          move={(to) => body(api.POST('/c/{clinic}/scheduling/visit/move', { params, body: to }))}
          onMoved={() => void moved()}
          onClose={() => setOpen(null)}
        />
      ) : (
        <div className="row">
          <Button onClick={() => void keepInCalendar()}>{t('change.calendar')}</Button>
          {visit.changeUntil && <Button onClick={() => setOpen('time')}>{t('change.time')}</Button>}
          {visit.changeUntil && (
            <Button look="plain" onClick={() => setOpen('cancel')}>
              {t('cancel.open')}
            </Button>
          )}
        </div>
      )}
      {visit.changeUntil && visit.appointment.status === 'booked' && (
        <Earlier visit={visit} reload={reload} />
      )}
      {!visit.changeUntil && <p className="soft">{t('change.tooLate')}</p>}
      {open === 'cancel' && (
        <CancelVisit
          title={t('cancel.title')}
          cancel={() => body(api.POST('/c/{clinic}/scheduling/visit/cancel', { params, body: {} }))}
          onCancelled={onCancelled}
          onClose={() => setOpen(null)}
        />
      )}
    </section>
  )
}
