import { createContext, use } from 'react'
import type { Session } from '../api/types'

type Role = Session['user']['roles'][number]

export interface Staff {
  session: Session
  signOut: () => Promise<void>
  /** Asked before somebody signs out; false keeps them signed in. Returns how to stop being asked. */
  beforeSignOut: (isSafe: () => Promise<boolean>) => () => void
  /** The demo network's outbox; hidden where there is none. */
  outbox: boolean
}

export const StaffContext = createContext<Staff | null>(null)

export function useStaff(): Staff {
  const staff = use(StaffContext)
  if (!staff) throw new Error('a staff page stands outside of <ClinicArea>')
  return staff
}

/** Only what buttons to show: the clinic's policy table decides what may be done. */
export function hasRole(session: Session, ...roles: Role[]): boolean {
  return session.user.roles.some((role) => roles.includes(role))
}
