import { type ComponentType, lazy, type ReactNode, Suspense } from 'react'
import { ClinicGate } from './ClinicGate'
import { LoadingPage } from './design/LoadingPage'
import { NotFoundPage } from './NotFoundPage'
import { BookingPage } from './patient/BookingPage'
import { VisitPage } from './patient/VisitPage'
import { match, usePlace } from './routing'
import { WelcomePage } from './WelcomePage'

// Who has a link, or books, waits for one load only: on a slow line each further one counts. They load neither the
// clinic's pages nor the call.
const PAGES: Record<string, ComponentType> = {
  '/c/:clinic': BookingPage,
  '/c/:clinic/visit': VisitPage,
  '/c/:clinic/account': lazy(() =>
    import('./patient/account/AccountPage').then((m) => ({ default: m.AccountPage })),
  ),
  '/c/:clinic/account/visit/:id': lazy(() =>
    import('./patient/account/OwnVisitPage').then((m) => ({ default: m.OwnVisitPage })),
  ),
  '/c/:clinic/account/messages': lazy(() =>
    import('./patient/account/OwnMessagesPage').then((m) => ({ default: m.OwnMessagesPage })),
  ),
  '/c/:clinic/proxy': lazy(() =>
    import('./patient/account/ProxyPage').then((m) => ({ default: m.ProxyPage })),
  ),
  '/c/:clinic/no-messages': lazy(() =>
    import('./patient/NoMessagesPage').then((m) => ({ default: m.NoMessagesPage })),
  ),
  '/clinic/:clinic/*': lazy(() => import('./clinic/ClinicArea').then((m) => ({ default: m.ClinicArea }))),
}

export function App() {
  const { path } = usePlace()
  return <Suspense fallback={<LoadingPage />}>{pageAt(path)}</Suspense>
}

function pageAt(path: string): ReactNode {
  if (match('/', path)) return <WelcomePage />
  for (const [pattern, ClinicPage] of Object.entries(PAGES)) {
    const found = match(pattern, path)
    if (found) {
      return (
        <ClinicGate clinic={found.clinic ?? ''}>
          <ClinicPage />
        </ClinicGate>
      )
    }
  }
  return <NotFoundPage />
}
