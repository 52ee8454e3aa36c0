import { createContext, use } from 'react'
import type { Api } from './client'

/** The API together with the one clinic that a page is about. */
export interface ClinicApi {
  api: Api
  clinic: string
  /** Server's clock minus ours. */
  clockOffsetMs: number
}

export const ClinicApiContext = createContext<ClinicApi | null>(null)

export function useClinicApi(): ClinicApi {
  const value = use(ClinicApiContext)
  if (!value) throw new Error('a page about a clinic stands outside of <ClinicGate>')
  return value
}
