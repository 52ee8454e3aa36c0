import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Appointment } from '../api/types'
import { Button } from '../design/Button'
import { t } from '../i18n/text'

interface Props {
  appointment: Appointment
  onHeld: () => Promise<void>
}

/** The patient waits for a moment, without picture and sound. */
export function HoldVisit({ appointment, onHeld }: Props) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState(false)

  async function hold() {
    setBusy(true)
    setFailed(false)
    try {
      const params = { path: { clinic, id: appointment.id } }
      await body(api.POST('/c/{clinic}/scheduling/appointments/{id}/hold', { params }))
      await onHeld()
    } catch {
      setFailed(true)
    } finally {
      setBusy(false)
    }
  }

  return (
    <>
      <Button busy={busy} onClick={() => void hold()}>
        {t('consult.hold')}
      </Button>
      {failed && (
        <span className="field-error" role="alert">
          {t('consult.hold.failed')}
        </span>
      )}
    </>
  )
}
