import { useEffect, useState } from 'react'
import type { DeviceChoice } from '../call/devices'
import { navigate, usePlace } from '../routing'

/**
 * The invitation's token. It arrives in the fragment, which no server sees, and leaves the address bar at once, so that
 * nobody reads it over a shoulder; the tab keeps it for a reload.
 */
export function useInvitation(clinic: string): string | null {
  const { path, hash } = usePlace()
  const [kept, setKept] = useState(() => sessionStorage.getItem(tokenKey(clinic)))

  useEffect(() => {
    if (!hash) return
    // Another invitation: the choices of the visit before do not count.
    if (sessionStorage.getItem(tokenKey(clinic)) !== hash) sessionStorage.removeItem(choiceKey(clinic))
    sessionStorage.setItem(tokenKey(clinic), hash)
    setKept(hash)
    navigate(path, 'replace')
  }, [clinic, hash, path])

  return hash || kept
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
