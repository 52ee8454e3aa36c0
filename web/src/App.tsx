import { lazy, Suspense } from 'react'
import { ClinicGate } from './ClinicGate'
import { Loading } from './design/Loading'
import { Page } from './design/Page'
import { t } from './i18n/text'
import { NotFoundPage } from './NotFoundPage'
import { match, usePlace } from './routing'
import { WelcomePage } from './WelcomePage'

// Who books loads neither the clinic's pages nor the call.
const BookingPage = lazy(() => import('./patient/BookingPage').then((m) => ({ default: m.BookingPage })))
const VisitPage = lazy(() => import('./patient/VisitPage').then((m) => ({ default: m.VisitPage })))
const ClinicArea = lazy(() => import('./clinic/ClinicArea').then((m) => ({ default: m.ClinicArea })))

export function App() {
  const { path } = usePlace()
  return (
    <Suspense fallback={<Waiting />}>
      <Routed path={path} />
    </Suspense>
  )
}

function Routed({ path }: { path: string }) {
  if (match('/', path)) return <WelcomePage />
  const booking = match('/c/:clinic', path)
  if (booking) {
    return (
      <ClinicGate clinic={booking.clinic ?? ''}>
        <BookingPage />
      </ClinicGate>
    )
  }
  const visit = match('/c/:clinic/visit', path)
  if (visit) {
    return (
      <ClinicGate clinic={visit.clinic ?? ''}>
        <VisitPage />
      </ClinicGate>
    )
  }
  const clinic = /^\/clinic\/([^/]+)(\/.*)?$/.exec(path)
  if (clinic) {
    return (
      <ClinicGate clinic={decodeURIComponent(clinic[1] ?? '')}>
        <ClinicArea path={path} />
      </ClinicGate>
    )
  }
  return <NotFoundPage />
}

function Waiting() {
  return (
    <Page name={t('product.name')} title={t('page.loading')} narrow>
      <Loading />
    </Page>
  )
}
