import { useState } from 'react'
import { hasSlug } from '../api/problem'
import type { Hold } from '../api/types'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { dayOf, dayText, readerZone, timeText } from '../i18n/time'
import { Times } from './Times'
import { setbackOf, useHold } from './useHold'

interface Props {
  service: string
  clinicZone: string
  move: (to: Pick<Hold, 'secret'> & { hold: string }) => Promise<unknown>
  onMoved: () => void
  onClose: () => void
}

/** Another time for a visit: choose, be asked once, done. The old time is kept until then. */
export function AnotherTime({ service, clinicZone, move, onMoved, onClose }: Props) {
  const { hold, setback, holding, take, letGo, setSetback } = useHold()
  const [busy, setBusy] = useState(false)
  const [tooLate, setTooLate] = useState(false)
  const zone = readerZone()

  async function confirm(to: Hold) {
    setBusy(true)
    setSetback(null)
    try {
      await move({ hold: to.id, secret: to.secret })
      onMoved()
    } catch (error) {
      if (hasSlug(error, 'too-late-to-change')) setTooLate(true)
      else setSetback(setbackOf(error))
      letGo()
    } finally {
      setBusy(false)
    }
  }

  if (tooLate) return <Notice tone="bad" title={t('change.tooLate')} />
  if (hold) {
    const when = {
      day: dayText(dayOf(hold.start, zone)),
      time: timeText(hold.start, zone),
      name: hold.practitioner.name,
    }
    return (
      <div className="stack">
        <p role="status">{t('change.ask', when)}</p>
        <div className="row">
          <Button look="primary" busy={busy} onClick={() => void confirm(hold)}>
            {t('change.confirm')}
          </Button>
          <Button onClick={letGo}>{t('change.other')}</Button>
        </div>
      </div>
    )
  }
  return (
    <div className="stack">
      <Times
        service={service}
        practitioner=""
        clinicZone={clinicZone}
        setback={setback}
        holding={holding}
        onTake={(slot, location) => take(service, slot, { location })}
      />
      <div className="row">
        <Button look="plain" onClick={onClose}>
          {t('change.keep')}
        </Button>
      </div>
    </div>
  )
}
