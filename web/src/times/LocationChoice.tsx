import { useState } from 'react'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { Select } from '../design/Select'
import { locale, t } from '../i18n/text'

interface Props {
  /** Where practitioners are licensed. */
  places: readonly string[]
  /** Asked before the visit, or when it begins. */
  now?: boolean
  onChoose: (place: string) => void
}

const OTHER = 'other'

/** Where the patient is: doctors treat people where they are licensed. */
export function LocationChoice({ places, now = false, onChoose }: Props) {
  const [place, setPlace] = useState('')
  const label = t(now ? 'waiting.location' : 'booking.location')
  const options = [
    ['', t('booking.location.choose')],
    ...places.map((code) => [code, placeName(code)]),
    [OTHER, t('booking.location.other')],
  ]
  return (
    <Notice title={label}>
      <p>{t('booking.location.hint')}</p>
      <Select label={label} value={place} options={options} onChange={setPlace} />
      {place === OTHER && <p role="alert">{t('booking.location.none')}</p>}
      <div className="row">
        <Button look="primary" disabled={place === '' || place === OTHER} onClick={() => onChoose(place)}>
          {t('booking.location.continue')}
        </Button>
      </div>
    </Notice>
  )
}

/** The country by its name; a part of one with its code. */
function placeName(code: string): string {
  const [country = code, part] = code.split('-')
  const name = new Intl.DisplayNames([locale()], { type: 'region' }).of(country) ?? country
  return part ? `${name}: ${part}` : name
}
