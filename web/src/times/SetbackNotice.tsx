import type { Slot } from '../api/types'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { dayOf, dayText, timeText } from '../i18n/time'
import { LocationChoice } from './LocationChoice'
import type { Setback } from './useHold'

interface Props {
  setback: Setback | null
  zone: string
  onTake: (slot: Slot, location?: string) => void
}

/** What came between, and the way on from there. */
export function SetbackNotice({ setback, zone, onTake }: Props) {
  if (!setback) return null
  switch (setback.kind) {
    case 'taken':
      return (
        <Notice tone="warm" title={t('setback.taken')}>
          {setback.alternatives.length > 0 && (
            <>
              <p>{t('setback.alternatives')}</p>
              <div className="row">
                {setback.alternatives.map((slot) => (
                  <Button key={`${slot.start}${slot.practitioner.id}`} onClick={() => onTake(slot)}>
                    {t('setback.alternative', {
                      day: dayText(dayOf(slot.start, zone)),
                      time: timeText(slot.start, zone),
                      name: slot.practitioner.name,
                    })}
                  </Button>
                ))}
              </div>
            </>
          )}
        </Notice>
      )
    case 'location':
      return <LocationChoice places={setback.places} onChoose={(place) => onTake(setback.slot, place)} />
    case 'notOpen':
      return <Notice tone="warm" title={t('booking.notOpen')} />
    case 'refused':
      return (
        <Notice tone="bad" title={t('setback.refused')}>
          <p>{setback.detail}</p>
        </Notice>
      )
    case 'unreachable':
      return (
        <Notice tone="bad" title={t('network.unreachable')}>
          <p>{t('setback.unreachable')}</p>
        </Notice>
      )
    default:
      return <Notice tone="warm" title={t(`setback.${setback.kind}`)} />
  }
}
