import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { Button } from '../design/Button'
import { Field } from '../design/Field'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

interface Props {
  encounter: string
  onOpened: () => void
}

/** The record of somebody else's patient opens with a reason, which is kept and reviewed. */
export function EmergencyAccess({ encounter, onOpened }: Props) {
  const { api, clinic } = useClinicApi()
  const [reason, setReason] = useState('')
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState(false)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailed(false)
    try {
      const params = { path: { clinic, id: encounter } }
      const asking = api.POST('/c/{clinic}/records/encounters/{id}/emergency-access', {
        params,
        body: { reason },
      })
      await body(asking)
      onOpened()
    } catch {
      setFailed(true)
    } finally {
      setBusy(false)
    }
  }

  return (
    <form className="card stack" aria-labelledby="emergency-heading" onSubmit={submit}>
      <h2 id="emergency-heading">{t('emergency.title')}</h2>
      <p>{t('emergency.body')}</p>
      {failed && <Notice tone="bad" title={t('emergency.failed')} />}
      <Field
        label={t('emergency.reason')}
        hint={t('emergency.reason.hint')}
        minLength={10}
        maxLength={200}
        required
        value={reason}
        onChange={(event) => setReason(event.target.value)}
      />
      <div className="row">
        <Button type="submit" look="danger" busy={busy}>
          {t('emergency.open')}
        </Button>
      </div>
    </form>
  )
}
