import type { paths } from '../../api/schema'
import { addDays, type Day, dayOf, offsetMinutes } from '../../i18n/time'

export type AuditQuery = NonNullable<paths['/c/{clinic}/audit/events']['get']['parameters']['query']>
export type AuditAction = NonNullable<AuditQuery['action']>
export type AuditSort = NonNullable<AuditQuery['sort']>
export type AuditOutcome = NonNullable<AuditQuery['outcome']>

export interface Filters {
  /** First and last day, in the clinic. */
  from: Day
  until: Day
  action: AuditAction | ''
  outcome: AuditOutcome | ''
  code: string
  user: string
  userName: string
  patient: string
  patientName: string
  sort: AuditSort
  order: 'asc' | 'desc'
}

/** The last week, the newest first. */
export function beginning(zone: string): Filters {
  const today = dayOf(Date.now(), zone)
  return {
    from: addDays(today, -6),
    until: today,
    action: '',
    outcome: '',
    code: '',
    user: '',
    userName: '',
    patient: '',
    patientName: '',
    sort: 'recorded',
    order: 'desc',
  }
}

export function queryOf(filters: Filters, zone: string): AuditQuery {
  const { from, until, action, outcome, code, user, patient, sort, order } = filters
  return {
    ...(from && { from: startOf(from, zone) }),
    ...(until && { until: startOf(addDays(until, 1), zone) }),
    ...(action && { action }),
    ...(outcome && { outcome }),
    ...(code && { code }),
    ...(user && { user }),
    ...(patient && { patient }),
    sort,
    order,
  }
}

/** Midnight in a zone, as an instant; where clocks change just then, the first one. */
export function startOf(day: Day, zone: string): string {
  const utc = Date.parse(`${day}T00:00:00Z`)
  const guess = utc - offsetMinutes(zone, utc) * 60_000
  return new Date(utc - offsetMinutes(zone, guess) * 60_000).toISOString()
}
