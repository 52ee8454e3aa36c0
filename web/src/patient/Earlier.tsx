import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasStatus } from '../api/problem'
import type { Visit } from '../api/types'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { dayOf, dayText, readerZone, timeText } from '../i18n/time'

interface Props {
  visit: Visit
  reload: () => Promise<void>
}

/** Whoever would come earlier is offered what gets free. */
export function Earlier({ visit, reload }: Props) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState<'over' | 'failed' | null>(null)
  const params = { path: { clinic } }
  const zone = readerZone()

  async function run(work: () => Promise<unknown>) {
    setBusy(true)
    setFailed(null)
    try {
      await work()
    } catch (error) {
      setFailed(hasStatus(error, 410) ? 'over' : 'failed')
    } finally {
      setBusy(false)
      await reload()
    }
  }

  const list = '/c/{clinic}/scheduling/visit/waiting-list'
  const join = () => body(api.POST(list, { params, body: {} }))
  const leave = () => body(api.DELETE(list, { params }))
  const accept = () => body(api.POST('/c/{clinic}/scheduling/visit/offer', { params, body: {} }))
  const { waitingList } = visit
  const offer = waitingList?.offer
  return (
    <>
      {failed && <Notice tone="warm" title={t(`earlier.${failed}`)} />}
      {offer && (
        <Notice
          tone="good"
          title={t('earlier.offer', {
            day: dayText(dayOf(offer.start, zone)),
            time: timeText(offer.start, zone),
          })}
        >
          <p>{t('earlier.until', { time: timeText(offer.until, zone) })}</p>
          <div className="row">
            <Button look="primary" busy={busy} onClick={() => void run(accept)}>
              {t('earlier.accept')}
            </Button>
            <Button onClick={() => void run(leave)}>{t('earlier.decline')}</Button>
          </div>
        </Notice>
      )}
      {waitingList && !offer && <p>{t('earlier.waiting')}</p>}
      {!offer && (
        <div className="row">
          <Button look="plain" busy={busy} onClick={() => void run(waitingList ? leave : join)}>
            {t(waitingList ? 'earlier.leave' : 'earlier.join')}
          </Button>
        </div>
      )}
    </>
  )
}
