import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'
import { deviceName, newPasskey, passkeysThere } from '../signIn/passkeys'
import { AddApp } from './AddApp'
import { RecoveryCodes } from './RecoveryCodes'

interface Props {
  /** Whether there is an authenticator app already. */
  hasApp?: boolean
  /** Called once the person has seen what they have to keep. */
  onAdded: () => Promise<void>
}

/** Adds a passkey or an authenticator app; the first factor comes with recovery codes. */
export function AddFactor({ hasApp = false, onAdded }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [app, setApp] = useState(false)
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'cancelled' | 'known' | 'unable' | 'failed' | null>(null)
  const [codes, setCodes] = useState<string[] | null>(null)

  async function added(recoveryCodes: string[] | undefined) {
    if (recoveryCodes?.length) setCodes(recoveryCodes)
    else await onAdded()
    setApp(false)
  }

  async function addPasskey() {
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic } }
      const options = await withProof(() =>
        body(api.POST('/c/{clinic}/auth/passkeys/options', { params, body: {} })),
      )
      const outcome = await newPasskey(options)
      if ('failure' in outcome) return setFailure(outcome.failure)
      const name = deviceName(navigator.userAgent) || t('factor.passkey')
      const credential = outcome.credential as Record<string, never>
      const kept = await body(api.POST('/c/{clinic}/auth/passkeys', { params, body: { name, credential } }))
      await added(kept.recoveryCodes)
    } catch {
      setFailure('failed')
    } finally {
      setBusy(false)
    }
  }

  if (codes) return <RecoveryCodes codes={codes} onKept={onAdded} />
  if (app) return <AddApp onAdded={added} onBack={() => setApp(false)} />
  return (
    <div className="stack">
      {failure && <Notice tone="bad" title={t(`factor.${failure}`)} />}
      {passkeysThere() && (
        <div className="stack tight">
          <Button look="primary" size="full" busy={busy} onClick={() => void addPasskey()}>
            {t('factor.addPasskey')}
          </Button>
          <p className="soft small">{t('factor.addPasskey.help')}</p>
        </div>
      )}
      {!hasApp && (
        <div className="stack tight">
          <Button size="full" onClick={() => setApp(true)}>
            {t('factor.addApp')}
          </Button>
          <p className="soft small">{t('factor.addApp.help')}</p>
        </div>
      )}
    </div>
  )
}
