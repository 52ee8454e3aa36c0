const key = (clinic: string) => `locum.external.${clinic}`

/** Where somebody was going before they were sent elsewhere to sign in. */
export function rememberPlace(clinic: string): void {
  sessionStorage.setItem(key(clinic), location.pathname + location.search)
}

/** That place, once; the clinic's first page otherwise, and instead of any page that is not the clinic's. */
export function takePlace(clinic: string): string {
  const kept = sessionStorage.getItem(key(clinic)) ?? ''
  sessionStorage.removeItem(key(clinic))
  const home = `/clinic/${clinic}`
  return kept === home || kept.startsWith(`${home}/`) ? kept : home
}
