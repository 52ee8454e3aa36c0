import { type ReactNode, useCallback, useRef, useState } from 'react'
import { hasSlug } from '../../api/problem'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { t } from '../../i18n/text'
import { ProofContext, type WithProof } from '../proof'
import { ProofForm } from './ProofForm'

/** Asks whoever is signed in to show once more who they are, where something on a page needs that. */
export function ProofArea({ children }: { children: ReactNode }) {
  const [asking, setAsking] = useState(false)
  const answer = useRef<(given: boolean) => void>(() => {})

  const withProof: WithProof = useCallback(async (work) => {
    try {
      return await work()
    } catch (error) {
      if (!hasSlug(error, 'proof-required')) throw error
      setAsking(true)
      const given = await new Promise<boolean>((resolve) => {
        answer.current = resolve
      })
      setAsking(false)
      if (!given) throw error
      return await work()
    }
  }, [])

  return (
    <ProofContext value={withProof}>
      {children}
      {asking && (
        <Dialog title={t('confirm.title')} onClose={() => answer.current(false)}>
          <p>{t('confirm.body')}</p>
          <ProofForm onGiven={async () => answer.current(true)} />
          <Button look="plain" onClick={() => answer.current(false)}>
            {t('confirm.cancel')}
          </Button>
        </Dialog>
      )}
    </ProofContext>
  )
}
