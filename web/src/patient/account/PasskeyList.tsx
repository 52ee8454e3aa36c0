import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { PatientSession } from '../../api/types'
import { deviceName, newPasskey, passkeysThere } from '../../clinic/signIn/passkeys'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { dayOf, dayText, readerZone } from '../../i18n/time'

interface Props {
  passkeys: NonNullable<PatientSession['passkeys']>
  onChanged: () => Promise<void>
}

export function PasskeyList({ passkeys, onChanged }: Props) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'cancelled' | 'known' | 'unable' | 'failed' | null>(null)
  const zone = readerZone()

  async function attempt(work: () => Promise<void>) {
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      await work()
      await onChanged()
    } catch {
      setFailure('failed')
    } finally {
      setBusy(false)
    }
  }

  async function add() {
    const params = { path: { clinic } }
    const options = await body(api.POST('/c/{clinic}/auth/patient/passkeys/options', { params, body: {} }))
    const outcome = await newPasskey(options)
    if ('failure' in outcome) return setFailure(outcome.failure)
    const name = deviceName(navigator.userAgent) || t('account.keys')
    const credential = outcome.credential as Record<string, never>
    await body(api.POST('/c/{clinic}/auth/patient/passkeys', { params, body: { name, credential } }))
  }

  async function remove(id: string) {
    await body(api.DELETE('/c/{clinic}/auth/patient/passkeys/{id}', { params: { path: { clinic, id } } }))
  }

  const failures = {
    cancelled: 'account.cancelled',
    known: 'account.keys.known',
    unable: 'account.keys.unable',
    failed: 'account.failed',
  } as const
  return (
    <section className="card stack" aria-labelledby="passkeys">
      <h2 id="passkeys">{t('account.keys')}</h2>
      <p className="soft">{t('account.keys.body')}</p>
      {failure && <Notice tone="bad" title={t(failures[failure])} />}
      <ul className="rows">
        {passkeys.map((passkey) => (
          <li key={passkey.id} className="row spread">
            <span>
              <strong>{passkey.name}</strong>{' '}
              <span className="soft">{dayText(dayOf(passkey.createdAt, zone))}</span>
            </span>
            <Button
              aria-label={`${t('proxies.revoke')}: ${passkey.name}`}
              onClick={() => void attempt(() => remove(passkey.id))}
            >
              {t('proxies.revoke')}
            </Button>
          </li>
        ))}
      </ul>
      {passkeysThere() && (
        <div className="row">
          <Button busy={busy} onClick={() => void attempt(add)}>
            {t('account.keys.add')}
          </Button>
        </div>
      )}
    </section>
  )
}
