import { useState } from 'react'
import type { Appointment } from '../api/types'
import { t } from '../i18n/text'
import { type Day, timeText } from '../i18n/time'
import { ChangeVisit } from './ChangeVisit'
import { InterpreterChip, InterpreterNeed } from './InterpreterNeed'
import { Lateness } from './Lateness'
import { PatientProxies } from './PatientProxies'
import { inOrder, placeText } from './placeText'
import { StageChip } from './StageChip'
import { hasRole, useStaff } from './staff'
import { TransferVisit } from './TransferVisit'
import { stageOf } from './useDay'
import { VisitAction } from './VisitAction'

interface Props {
  appointments: Appointment[]
  day: Day
  zone: string
  now: number
  onChanged: () => void
}

/** The day in the order of the clock. */
export function VisitList({ appointments, day, zone, now, onChanged }: Props) {
  const { session } = useStaff()
  const [interpreted, setInterpreted] = useState(false)
  const some = appointments.some(({ interpreter }) => interpreter)
  const shown = interpreted && some ? appointments.filter(({ interpreter }) => interpreter) : appointments
  const sorted = [...shown].sort(inOrder)
  return (
    <section className="stack" aria-labelledby="visits-heading">
      <h2 id="visits-heading">{t('day.visits')}</h2>
      {some && (
        <label className="choice">
          <input
            type="checkbox"
            checked={interpreted}
            onChange={(event) => setInterpreted(event.target.checked)}
          />
          <span className="choice-name">{t('interpreters.only')}</span>
        </label>
      )}
      {sorted.length === 0 ? (
        <p className="soft">{t('day.none')}</p>
      ) : (
        <ol className="visits">
          {sorted.map((one) => (
            <li key={one.id} className="visit" data-stage={stageOf(one)}>
              <span className="visit-time">
                {timeText(one.start, zone)}
                <span className="soft">–{timeText(one.end, zone)}</span>
              </span>
              <span className="visit-person">
                <strong className="person">{one.patient.name}</strong>
                <span className="soft small">{placeText(one)}</span>
                <InterpreterChip appointment={one} />
              </span>
              <StageChip appointment={one} now={now} />
              <span className="visit-action">
                {['booked', 'done', 'cancelled', 'noshow'].includes(stageOf(one)) && (
                  <VisitAction appointment={one} day={day} />
                )}
                {['booked', 'waiting'].includes(stageOf(one)) && (
                  <ChangeVisit appointment={one} zone={zone} onChanged={onChanged} />
                )}
                {['booked', 'waiting'].includes(stageOf(one)) && (
                  <Lateness appointment={one} onChanged={onChanged} />
                )}
                {['booked', 'waiting', 'inCall', 'onHold'].includes(stageOf(one)) && (
                  <TransferVisit appointment={one} onChanged={onChanged} />
                )}
                {['booked', 'waiting', 'inCall', 'onHold'].includes(stageOf(one)) && (
                  <InterpreterNeed appointment={one} onChanged={onChanged} />
                )}
                {hasRole(session, 'front-desk') && <PatientProxies appointment={one} />}
              </span>
            </li>
          ))}
        </ol>
      )}
    </section>
  )
}
