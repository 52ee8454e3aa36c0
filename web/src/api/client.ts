import createClient, { type Client } from 'openapi-fetch'
import { failoverFetch } from './failover'
import { ApiError } from './problem'
import type { paths } from './schema'

export type Api = Client<paths>

/** The clinics' API, typed from docs/openapi.yaml, over an ordered list of base addresses. */
export function apiClient(apis: readonly string[]): Api {
  return createClient<paths>({ baseUrl: apis[0] ?? '', fetch: failoverFetch(apis) })
}

interface Answered<T> {
  data?: T
  error?: unknown
  response: Response
}

/** The answer's body; throws an `ApiError` for a refusal. */
export async function body<T>(answer: Promise<Answered<T>>): Promise<T> {
  return (await bodyAndTag(answer)).data
}

/** The same with the entity tag, for resources that are written with `If-Match`. */
export async function bodyAndTag<T>(answer: Promise<Answered<T>>): Promise<{ data: T; etag: string }> {
  const { data, error, response } = await answer
  if (!response.ok) throw new ApiError(response.status, error)
  return { data: data as T, etag: response.headers.get('etag') ?? '' }
}
