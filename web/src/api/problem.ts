const PREFIX = 'urn:locum:problem:'

/** An API's refusal (RFC 9457), as a thing to throw. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  /** Last part of the problem's `type`, such as `slot-taken`. */
  readonly slug: string
  /** The whole document, with the members that belong to this kind of problem. */
  readonly document: Record<string, unknown>

  constructor(status: number, document: unknown) {
    const members = isRecord(document) ? document : {}
    super(typeof members.title === 'string' ? members.title : `status ${status}`)
    this.status = status
    this.slug = typeof members.type === 'string' ? members.type.replace(PREFIX, '') : ''
    this.document = members
  }
}

export function hasSlug(error: unknown, ...slugs: string[]): error is ApiError {
  return error instanceof ApiError && slugs.includes(error.slug)
}

export function hasStatus(error: unknown, status: number): error is ApiError {
  return error instanceof ApiError && error.status === status
}

/** Whether asking again later cannot help: the answer was about us, not about the network or the server's health. */
export function isRefusal(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429
}

/** Asked again, the answer would be the same. A host of the release before may only not know what this page says. */
export function isLastWord(error: unknown): error is ApiError {
  return isRefusal(error) && error.status !== 400 && error.status !== 422
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
