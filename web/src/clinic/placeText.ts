import type { Appointment } from '../api/types'
import { t } from '../i18n/text'

type Placed = Pick<Appointment, 'start' | 'service' | 'practitioner' | 'group' | 'site' | 'room'>

/** What a visit is, with whom and where; of a group, which of its places. */
export function placeText({ service, practitioner, group, site, room }: Placed): string {
  const place = group && t('day.place', { place: group.place, count: group.capacity })
  const where = room && (site ? `${site.name}, ${room.name}` : room.name)
  return [service.name, practitioner.name, place, where ?? site?.name].filter(Boolean).join(' · ')
}

/** By the clock; who is in one group stands together, by place. */
export function inOrder(a: Placed, b: Placed): number {
  return (
    Date.parse(a.start) - Date.parse(b.start) ||
    a.practitioner.id.localeCompare(b.practitioner.id) ||
    a.service.id.localeCompare(b.service.id) ||
    (a.group?.place ?? 0) - (b.group?.place ?? 0)
  )
}
