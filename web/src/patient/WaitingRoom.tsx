import type { Visit } from '../api/types'
import { plural, t } from '../i18n/text'
import { readerZone, timeText } from '../i18n/time'
import './waiting.css'

/** Nothing to do here, and it says so. */
export function WaitingRoom({ visit, camera }: { visit: Visit; camera: boolean }) {
  const before = (visit.waiting?.position ?? 1) - 1
  return (
    <section className="card waiting-room">
      <span className="breath" aria-hidden="true" />
      <p className="waiting-place" role="status">
        {visit.onHold
          ? t('waiting.onHold')
          : before === 0
            ? t('waiting.next')
            : plural('waiting.before', before)}
      </p>
      <p>{t(visit.onHold ? 'waiting.onHold.body' : 'waiting.body', { name: visit.practitioner.name })}</p>
      <p className="soft">
        {camera ? t('waiting.camera') : t('waiting.audio')}{' '}
        {t('waiting.time', { time: timeText(visit.appointment.start, readerZone()) })}
      </p>
    </section>
  )
}
