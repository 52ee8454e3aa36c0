import { plural, t } from '../i18n/text'
import { minutesSince } from '../i18n/time'

export function waitingText(arrivedAt: string, now: number): string {
  const minutes = minutesSince(arrivedAt, now)
  return minutes === 0 ? t('clinic.waiting.justNow') : plural('clinic.waiting.minutes', minutes)
}
