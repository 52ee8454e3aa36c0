import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Appointment } from '../api/types'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { t } from '../i18n/text'
import { AnotherTime } from '../times/AnotherTime'
import { CancelVisit } from '../times/CancelVisit'
import { hasRole, useStaff } from './staff'

interface Props {
  appointment: Appointment
  zone: string
  onChanged: () => void
}

/** Another time for a visit, or none, for who books. */
export function ChangeVisit({ appointment, zone, onChanged }: Props) {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const [open, setOpen] = useState<'time' | 'cancel' | null>(null)
  const { name } = appointment.patient
  const params = { path: { clinic, id: appointment.id } }

  if (!hasRole(session, 'front-desk', 'nurse', 'doctor')) return null

  function done() {
    setOpen(null)
    onChanged()
  }

  return (
    <>
      <Button look="plain" onClick={() => setOpen('time')} aria-label={t('change.time.name', { name })}>
        {t('change.time.short')}
      </Button>
      <Button look="plain" onClick={() => setOpen('cancel')} aria-label={t('cancel.open.name', { name })}>
        {t('cancel.open.short')}
      </Button>
      {open === 'time' && (
        <Dialog title={t('change.time.name', { name })} onClose={() => setOpen(null)}>
          <AnotherTime
            service={appointment.service.id}
            clinicZone={zone}
            move={(to) =>
              body(api.POST('/c/{clinic}/scheduling/appointments/{id}/move', { params, body: to }))
            }
            onMoved={done}
            onClose={() => setOpen(null)}
          />
        </Dialog>
      )}
      {open === 'cancel' && (
        <CancelVisit
          title={t('cancel.title.name', { name })}
          cancel={() =>
            body(api.POST('/c/{clinic}/scheduling/appointments/{id}/cancel', { params, body: {} }))
          }
          onCancelled={done}
          onClose={() => setOpen(null)}
        />
      )}
    </>
  )
}
