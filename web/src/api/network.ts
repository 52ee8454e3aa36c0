/** What an edge host says about its network at `/.well-known/locum.json`. */
export interface NetworkInfo {
  zone: string
  region: string
  clinics: string[]
  /** Ordered: the nearest region's API first. */
  apis: string[]
  /** Server's clock minus ours: countdowns to a server's deadline are right on a device whose clock is not. */
  clockOffsetMs: number
}

export async function discover(): Promise<NetworkInfo> {
  const asked = Date.now()
  const response = await fetch('/.well-known/locum.json', { headers: { accept: 'application/json' } })
  if (!response.ok) throw new TypeError(`discovery answered ${response.status}`)
  const body = (await response.json()) as Omit<NetworkInfo, 'clockOffsetMs'>
  return { ...body, clockOffsetMs: clockOffset(response.headers.get('date'), asked, Date.now()) }
}

/** The `Date` header has whole seconds; less than two seconds apart is the same time. */
export function clockOffset(date: string | null, askedMs: number, answeredMs: number): number {
  const server = Date.parse(date ?? '')
  if (Number.isNaN(server)) return 0
  const offset = server + 500 - (askedMs + answeredMs) / 2
  return Math.abs(offset) < 2000 ? 0 : Math.round(offset)
}
