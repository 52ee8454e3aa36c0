import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug } from '../api/problem'
import type { Appointment } from '../api/types'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { hasRole, useStaff } from './staff'

interface Props {
  appointment: Appointment
  onChanged: () => void
}

const MINUTES = [0, 5, 10, 20, 30]

/** Who is late says so, and who has not come is marked so. */
export function Lateness({ appointment, onChanged }: Props) {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const [open, setOpen] = useState(false)
  const [failed, setFailed] = useState<'early' | 'failed' | null>(null)
  const params = { path: { clinic, id: appointment.id } }
  const { name } = appointment.patient

  if (!hasRole(session, 'front-desk', 'nurse', 'doctor')) return null

  async function run(work: () => Promise<unknown>) {
    setFailed(null)
    try {
      await work()
      setOpen(false)
      onChanged()
    } catch (error) {
      setFailed(hasSlug(error, 'too-early') ? 'early' : 'failed')
    }
  }

  const late = (minutes: number) =>
    body(api.POST('/c/{clinic}/scheduling/appointments/{id}/late', { params, body: { minutes } }))
  const missed = () =>
    body(api.POST('/c/{clinic}/scheduling/appointments/{id}/no-show', { params, body: {} }))
  return (
    <>
      {appointment.patientLateMinutes && (
        <span className="chip warm">{t('day.patientLate', { count: appointment.patientLateMinutes })}</span>
      )}
      {appointment.clinicLateMinutes && (
        <span className="chip">{t('day.clinicLate', { count: appointment.clinicLateMinutes })}</span>
      )}
      <Button look="plain" onClick={() => setOpen(true)} aria-label={t('day.late.name', { name })}>
        {t('day.late')}
      </Button>
      {open && (
        <Dialog title={t('day.late.name', { name })} onClose={() => setOpen(false)}>
          {failed && <Notice tone="warm" title={t(`day.late.${failed}`)} />}
          <p>{t('day.late.ours')}</p>
          <div className="row">
            {MINUTES.map((minutes) => (
              <Button key={minutes} onClick={() => void run(() => late(minutes))}>
                {minutes === 0 ? t('day.late.none') : t('late.minutes', { count: minutes })}
              </Button>
            ))}
          </div>
          {appointment.status === 'booked' && (
            <div className="row">
              <Button onClick={() => void run(missed)}>{t('day.late.missed')}</Button>
            </div>
          )}
        </Dialog>
      )}
    </>
  )
}
