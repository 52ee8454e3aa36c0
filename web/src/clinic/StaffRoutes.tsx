import type { ComponentType } from 'react'
import { NotFoundPage } from '../NotFoundPage'
import { match, usePlace } from '../routing'
import { AppsPage } from './apps/AppsPage'
import { AuthorizePage } from './apps/AuthorizePage'
import { AuditPage } from './audit/AuditPage'
import { ReviewsPage } from './audit/ReviewsPage'
import { ConsultPage } from './ConsultPage'
import { DayPage } from './DayPage'
import { ConversationPage } from './messages/ConversationPage'
import { ConversationsPage } from './messages/ConversationsPage'
import { MessageWorkPage } from './messages/MessageWorkPage'
import { RecallsPage } from './messages/RecallsPage'
import { OutboxPage } from './OutboxPage'
import { PaymentsPage } from './payments/PaymentsPage'
import { LicencesPage } from './people/LicencesPage'
import { PeoplePage } from './people/PeoplePage'
import { RecertificationPage } from './people/RecertificationPage'
import { SecurityPage } from './security/SecurityPage'
import { SettingsPage } from './settings/SettingsPage'
import { SetUpPage } from './setUp/SetUpPage'

const PAGES: Record<string, ComponentType> = {
  '/clinic/:clinic/outbox': OutboxPage,
  '/clinic/:clinic/payments': PaymentsPage,
  '/clinic/:clinic/messages': MessageWorkPage,
  '/clinic/:clinic/conversations': ConversationsPage,
  '/clinic/:clinic/recalls': RecallsPage,
  '/clinic/:clinic/security': SecurityPage,
  '/clinic/:clinic/staff': PeoplePage,
  '/clinic/:clinic/staff/recertification': RecertificationPage,
  '/clinic/:clinic/staff/licences': LicencesPage,
  '/clinic/:clinic/audit': AuditPage,
  '/clinic/:clinic/reviews': ReviewsPage,
  '/clinic/:clinic/settings': SettingsPage,
  '/clinic/:clinic/set-up': SetUpPage,
  '/clinic/:clinic/apps': AppsPage,
  '/clinic/:clinic/authorize': AuthorizePage,
}

export function StaffRoutes() {
  const { path } = usePlace()
  if (match('/clinic/:clinic', path)) return <DayPage day={null} />
  const day = match('/clinic/:clinic/day/:day', path)
  if (day) return <DayPage day={day.day ?? null} />
  const consult = match('/clinic/:clinic/day/:day/visit/:appointment', path)
  if (consult) return <ConsultPage day={consult.day ?? ''} appointmentId={consult.appointment ?? ''} />
  const conversation = match('/clinic/:clinic/conversations/:appointment', path)
  if (conversation) return <ConversationPage appointmentId={conversation.appointment ?? ''} />
  const Found = Object.entries(PAGES).find(([pattern]) => match(pattern, path))?.[1]
  return Found ? <Found /> : <NotFoundPage />
}
