import { Icon } from '../design/Icon'
import { t } from '../i18n/text'
import { addDays, type Day, dayText } from '../i18n/time'
import { Link } from '../Link'

interface Props {
  base: string
  day: Day
  today: Day
}

export function DayNav({ base, day, today }: Props) {
  const to = (target: Day) => (target === today ? base : `${base}/day/${target}`)
  const before = addDays(day, -1)
  const after = addDays(day, 1)
  return (
    <nav className="row" aria-label={t('day.nav')}>
      <Link className="button" href={to(before)} aria-label={t('day.before', { day: dayText(before) })}>
        <Icon name="back" />
      </Link>
      {day !== today && (
        <Link className="button" href={base}>
          {t('staff.today')}
        </Link>
      )}
      <Link className="button" href={to(after)} aria-label={t('day.after', { day: dayText(after) })}>
        <Icon name="next" />
      </Link>
    </nav>
  )
}
