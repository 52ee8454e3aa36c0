import { NotFoundPage } from '../NotFoundPage'
import { match, usePlace } from '../routing'
import { AuditPage } from './audit/AuditPage'
import { ReviewsPage } from './audit/ReviewsPage'
import { ConsultPage } from './ConsultPage'
import { DayPage } from './DayPage'
import { OutboxPage } from './OutboxPage'
import { LicencesPage } from './people/LicencesPage'
import { PeoplePage } from './people/PeoplePage'
import { RecertificationPage } from './people/RecertificationPage'
import { SecurityPage } from './security/SecurityPage'
import { SettingsPage } from './settings/SettingsPage'

export function StaffRoutes() {
  const { path } = usePlace()
  if (match('/clinic/:clinic', path)) return <DayPage day={null} />
  const day = match('/clinic/:clinic/day/:day', path)
  if (day) return <DayPage day={day.day ?? null} />
  const consult = match('/clinic/:clinic/day/:day/visit/:appointment', path)
  if (consult) return <ConsultPage day={consult.day ?? ''} appointmentId={consult.appointment ?? ''} />
  if (match('/clinic/:clinic/outbox', path)) return <OutboxPage />
  if (match('/clinic/:clinic/security', path)) return <SecurityPage />
  if (match('/clinic/:clinic/staff', path)) return <PeoplePage />
  if (match('/clinic/:clinic/staff/recertification', path)) return <RecertificationPage />
  if (match('/clinic/:clinic/staff/licences', path)) return <LicencesPage />
  if (match('/clinic/:clinic/audit', path)) return <AuditPage />
  if (match('/clinic/:clinic/reviews', path)) return <ReviewsPage />
  if (match('/clinic/:clinic/settings', path)) return <SettingsPage />
  return <NotFoundPage />
}
