import { createContext, use } from 'react'

/** Runs what may ask for a fresh proof: whoever is signed in gives it, and the work is done once more. */
export type WithProof = <T>(work: () => Promise<T>) => Promise<T>

export const ProofContext = createContext<WithProof>((work) => work())

export function useProof(): WithProof {
  return use(ProofContext)
}
