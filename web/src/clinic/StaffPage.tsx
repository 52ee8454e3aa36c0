import { type ReactNode, useEffect, useRef } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { Button } from '../design/Button'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { Link } from '../Link'
import { usePlace } from '../routing'
import { hasRole, useStaff } from './staff'

interface Props {
  title: string
  subtitle?: string
  tabTitle?: string
  wide?: boolean
  beside?: ReactNode
  children: ReactNode
}

/** A page's frame with the way around the clinic and who is signed in. */
export function StaffPage({ title, subtitle, tabTitle, wide = false, beside, children }: Props) {
  const { clinic } = useClinicApi()
  const { session, signOut, outbox } = useStaff()
  const { path } = usePlace()
  const nav = useRef<HTMLElement>(null)
  // Where the row is longer than the screen.
  // biome-ignore lint/correctness/useExhaustiveDependencies: another path is another place.
  useEffect(() => {
    const here = nav.current?.querySelector('[aria-current]')
    here?.scrollIntoView({ block: 'nearest', inline: 'center' })
  }, [path])
  const outboxPath = `/clinic/${clinic}/outbox`
  const paymentsPath = `/clinic/${clinic}/payments`
  const conversationsPath = `/clinic/${clinic}/conversations`
  const recallsPath = `/clinic/${clinic}/recalls`
  const messagesPath = `/clinic/${clinic}/messages`
  const peoplePath = `/clinic/${clinic}/staff`
  const auditPath = `/clinic/${clinic}/audit`
  const reviewsPath = `/clinic/${clinic}/reviews`
  const setUpPath = `/clinic/${clinic}/set-up`
  const settingsPath = `/clinic/${clinic}/settings`
  const appsPath = `/clinic/${clinic}/apps`
  const securityPath = `/clinic/${clinic}/security`
  return (
    <Page
      name={session.clinic.name}
      title={title}
      subtitle={subtitle}
      tabTitle={tabTitle ?? title}
      wide={wide}
      beside={beside}
      actions={
        <nav ref={nav} className="staff-nav" aria-label={t('staff.nav')}>
          <Link
            className="nav-link"
            href={`/clinic/${clinic}`}
            aria-current={current(path === `/clinic/${clinic}`)}
          >
            {t('staff.today')}
          </Link>
          {outbox && (
            <Link className="nav-link" href={outboxPath} aria-current={current(path === outboxPath)}>
              {t('staff.outbox')}
            </Link>
          )}
          {hasRole(session, 'front-desk', 'billing', 'clinic-admin') && (
            <Link className="nav-link" href={paymentsPath} aria-current={current(path === paymentsPath)}>
              {t('staff.payments')}
            </Link>
          )}
          {hasRole(session, 'doctor', 'nurse') && (
            <Link
              className="nav-link"
              href={conversationsPath}
              aria-current={current(path.startsWith(conversationsPath))}
            >
              {t('staff.conversations')}
            </Link>
          )}
          {hasRole(session, 'front-desk', 'doctor', 'nurse') && (
            <Link className="nav-link" href={recallsPath} aria-current={current(path === recallsPath)}>
              {t('staff.recalls')}
            </Link>
          )}
          {hasRole(session, 'front-desk', 'clinic-admin') && (
            <Link className="nav-link" href={messagesPath} aria-current={current(path === messagesPath)}>
              {t('staff.messages')}
            </Link>
          )}
          {hasRole(session, 'clinic-admin', 'auditor') && (
            <Link className="nav-link" href={peoplePath} aria-current={current(path === peoplePath)}>
              {t('staff.people')}
            </Link>
          )}
          {hasRole(session, 'clinic-admin', 'auditor') && (
            <>
              <Link className="nav-link" href={auditPath} aria-current={current(path === auditPath)}>
                {t('staff.audit')}
              </Link>
              <Link className="nav-link" href={reviewsPath} aria-current={current(path === reviewsPath)}>
                {t('staff.reviews')}
              </Link>
            </>
          )}
          {hasRole(session, 'clinic-admin') && (
            <>
              <Link className="nav-link" href={setUpPath} aria-current={current(path === setUpPath)}>
                {t('staff.setUp')}
              </Link>
              <Link className="nav-link" href={settingsPath} aria-current={current(path === settingsPath)}>
                {t('staff.settings')}
              </Link>
            </>
          )}
          {hasRole(session, 'clinic-admin', 'auditor') && (
            <Link className="nav-link" href={appsPath} aria-current={current(path === appsPath)}>
              {t('staff.apps')}
            </Link>
          )}
          <Link className="nav-link" href={securityPath} aria-current={current(path === securityPath)}>
            {t('staff.security')}
          </Link>
          <span className="staff-name">{session.user.name}</span>
          <Button look="plain" onClick={() => void signOut()}>
            {t('staff.signOut')}
          </Button>
        </nav>
      }
    >
      {children}
    </Page>
  )
}

function current(is: boolean): 'page' | undefined {
  return is ? 'page' : undefined
}
