import type { Practitioner } from '../api/types'
import { t } from '../i18n/text'

interface Props {
  people: Practitioner[]
  /** Empty: whoever is free. */
  chosen: string
  onChoose: (id: string) => void
}

export function PractitionerChoice({ people, chosen, onChoose }: Props) {
  const options = [{ id: '', name: t('booking.anyone') }, ...people]
  return (
    <fieldset className="stack close">
      <legend className="field-label">{t('booking.with')}</legend>
      {options.map((person) => (
        <label key={person.id} className="choice">
          <input
            type="radio"
            name="practitioner"
            value={person.id}
            checked={person.id === chosen}
            onChange={() => onChoose(person.id)}
          />
          {person.name}
        </label>
      ))}
    </fieldset>
  )
}
