import { useState } from 'react'
import type { Slot } from '../api/types'
import { plural, t } from '../i18n/text'
import { dayNumberText, dayText, monthText, timeText, weekdayText } from '../i18n/time'
import { type FreeDay, type PartOfDay, partOfDay } from './freeTimes'

interface Props {
  days: FreeDay[]
  zone: string
  holding: string | null
  onTake: (slot: Slot) => void
}

const PARTS: PartOfDay[] = ['morning', 'afternoon', 'evening']

/** A week to choose a day from, and that day's free times. */
export function FreeTimes({ days, zone, holding, onTake }: Props) {
  const [wanted, setWanted] = useState<string | null>(null)
  const shown =
    days.find(({ day }) => day === wanted) ?? days.find(({ times }) => times.length > 0) ?? days[0]
  if (!shown) return null
  return (
    <>
      <fieldset>
        <legend className="unseen">{t('booking.day')}</legend>
        <div className="week">
          {days.map(({ day, times }) => (
            <label key={day} className={times.length > 0 ? 'day' : 'day none'}>
              <input
                type="radio"
                name="day"
                value={day}
                checked={day === shown.day}
                onChange={() => setWanted(day)}
                aria-label={`${dayText(day)}, ${plural('booking.free', times.length)}`}
              />
              <span aria-hidden="true">{weekdayText(day)}</span>
              <strong aria-hidden="true">{dayNumberText(day)}</strong>
              <span className="day-month" aria-hidden="true">
                {monthText(day)}
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      <div className="stack">
        <h3>{dayText(shown.day)}</h3>
        {shown.times.length === 0 && <p className="soft">{t('booking.noneThisDay')}</p>}
        {PARTS.map((part) => {
          const times = shown.times.filter(({ start }) => partOfDay(start, zone) === part)
          if (times.length === 0) return null
          return (
            <div key={part} className="stack close">
              <h4 className="part">{t(`booking.${part}`)}</h4>
              <ul className="times">
                {times.map(({ start, slots }) => (
                  <li key={start}>
                    <button
                      type="button"
                      className="time"
                      aria-busy={holding === start}
                      aria-disabled={holding !== null || undefined}
                      onClick={() => holding === null && slots[0] && onTake(slots[0])}
                    >
                      {timeText(start, zone)}
                    </button>
                  </li>
                ))}
              </ul>
            </div>
          )
        })}
      </div>
    </>
  )
}
