import type { Appointment } from '../api/types'
import { t } from '../i18n/text'
import { type Day, timeText } from '../i18n/time'
import { InterpreterChip } from './InterpreterNeed'
import { placeText } from './placeText'
import { VisitAction } from './VisitAction'
import { waitingText } from './waitingText'

interface Props {
  /** The longest waiting first. */
  waiting: Appointment[]
  day: Day
  zone: string
  now: number
}

/** Who sits in the waiting room; a screen reader hears each newcomer once. */
export function WaitingNow({ waiting, day, zone, now }: Props) {
  const latest = waiting.at(-1)
  return (
    <section className="stack" aria-labelledby="waiting-heading">
      <h2 id="waiting-heading" className="row">
        {t('clinic.waiting.title')}
        <span className={waiting.length > 0 ? 'badge' : 'badge none'}>{waiting.length}</span>
      </h2>
      <p className="unseen" role="status">
        {latest && t('clinic.waiting.announce', { name: latest.patient.name })}
      </p>
      {waiting.length === 0 ? (
        <p className="soft">{t('clinic.waiting.nobody')}</p>
      ) : (
        <ol className="waiting-list">
          {waiting.map((one) => (
            <li key={one.id} className="waiting-row">
              <div className="waiting-who">
                <strong className="person">{one.patient.name}</strong>
                <p className="soft small">
                  {timeText(one.start, zone)} · {placeText(one)}
                </p>
                <InterpreterChip appointment={one} />
              </div>
              {one.arrivedAt && (
                <p className="since">
                  <strong>{waitingText(one.arrivedAt, now)}</strong>
                  <span className="small">
                    {t('clinic.waiting.since', { time: timeText(one.arrivedAt, zone) })}
                  </span>
                </p>
              )}
              <VisitAction appointment={one} day={day} />
            </li>
          ))}
        </ol>
      )}
    </section>
  )
}
