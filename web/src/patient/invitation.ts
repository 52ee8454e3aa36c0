import type { DeviceChoice } from '../call/devices'
import { useFragment } from '../useFragment'
import { isInApp } from './inApp'

/**
 * The invitation's token. With another invitation the choices of the visit before do not count. Inside another app it stays in the
 * address, which is what "Open in browser" takes along.
 */
export function useInvitation(clinic: string): string | null {
  const stays = isInApp(navigator.userAgent)
  return useFragment(tokenKey(clinic), () => sessionStorage.removeItem(choiceKey(clinic)), stays)
}

/** The same, for who copies the link. */
export function keptInvitation(clinic: string): string | null {
  return sessionStorage.getItem(tokenKey(clinic))
}

/** The devices chosen in the check, so that a reload in the waiting room or the call needs no second check. */
export function keptChoice(clinic: string): DeviceChoice | null {
  const kept = sessionStorage.getItem(choiceKey(clinic))
  return kept ? (JSON.parse(kept) as DeviceChoice) : null
}

export function keepChoice(clinic: string, choice: DeviceChoice): void {
  sessionStorage.setItem(choiceKey(clinic), JSON.stringify(choice))
}

export function forgetVisit(clinic: string): void {
  sessionStorage.removeItem(choiceKey(clinic))
}

const tokenKey = (clinic: string) => `locum.invitation.${clinic}`
const choiceKey = (clinic: string) => `locum.devices.${clinic}`
