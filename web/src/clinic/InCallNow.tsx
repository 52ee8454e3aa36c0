import type { Appointment } from '../api/types'
import { t } from '../i18n/text'
import { type Day, minutesSince, timeText } from '../i18n/time'
import { stageOf } from './useDay'
import { VisitAction } from './VisitAction'

interface Props {
  /** Who was let in, the longest ago first. */
  inCall: Appointment[]
  day: Day
  zone: string
  now: number
}

/** Who is with a clinician or on hold, for how long, and what does not work. */
export function InCallNow({ inCall, day, zone, now }: Props) {
  return (
    <section className="stack" aria-labelledby="in-call-heading">
      <h2 id="in-call-heading" className="row">
        {t('clinic.inCall.title')}
        <span className="badge none">{inCall.length}</span>
      </h2>
      <ol className="waiting-list">
        {inCall.map((one) => (
          <li key={one.id} className="waiting-row in-call" data-stage={stageOf(one)}>
            <div className="waiting-who">
              <strong className="person">{one.patient.name}</strong>
              <p className="soft small">
                {timeText(one.start, zone)} · {one.service.name} · {one.practitioner.name}
              </p>
              {one.phoneInstead && (
                <span className="chip warm">
                  {t('clinic.inCall.phone', { time: timeText(one.phoneInstead, zone) })}
                </span>
              )}
              {one.trouble && <span className="chip warm">{t(`clinic.trouble.${one.trouble}`)}</span>}
            </div>
            <p className="since">
              <strong>
                {one.heldAt
                  ? t('clinic.inCall.held', { minutes: minutesSince(one.heldAt, now) })
                  : t('clinic.inCall.minutes', { minutes: minutesSince(one.admittedAt ?? one.start, now) })}
              </strong>
              <span className="small">{t('clinic.inCall.until', { time: timeText(one.end, zone) })}</span>
            </p>
            <VisitAction appointment={one} day={day} />
          </li>
        ))}
      </ol>
    </section>
  )
}
