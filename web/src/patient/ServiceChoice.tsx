import type { Service } from '../api/types'
import { plural, t } from '../i18n/text'
import { moneyText } from '../i18n/time'

interface Props {
  services: Service[]
  chosen: string
  onChoose: (id: string) => void
}

export function ServiceChoice({ services, chosen, onChoose }: Props) {
  return (
    <fieldset className="stack close">
      <legend className="field-label">{t('booking.service')}</legend>
      {services.map((service) => (
        <label key={service.id} className="choice">
          <input
            type="radio"
            name="service"
            value={service.id}
            checked={service.id === chosen}
            onChange={() => onChoose(service.id)}
          />
          <span>
            <span className="choice-name">{service.name}</span>
            <span className="choice-more">
              {plural('booking.minutes', service.durationMinutes)} · {moneyText(service.price)}
              {service.capacity !== undefined && ` · ${t('booking.group', { count: service.capacity })}`}
            </span>
          </span>
        </label>
      ))}
    </fieldset>
  )
}
