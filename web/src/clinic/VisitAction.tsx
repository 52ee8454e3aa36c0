import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasStatus } from '../api/problem'
import type { Appointment } from '../api/types'
import { Button } from '../design/Button'
import { t } from '../i18n/text'
import type { Day } from '../i18n/time'
import { Link } from '../Link'
import { navigate } from '../routing'
import { hasRole, useStaff } from './staff'
import { stageOf } from './useDay'

/** The one thing that a clinician would do next with a visit; nothing for those who only look after the board. */
export function VisitAction({ appointment, day }: { appointment: Appointment; day: Day }) {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'notArrived' | 'failed' | null>(null)
  const visitPath = `/clinic/${clinic}/day/${day}/visit/${appointment.id}`
  const { name } = appointment.patient

  async function admit() {
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic, id: appointment.id } }
      await body(api.POST('/c/{clinic}/scheduling/appointments/{id}/admit', { params }))
      navigate(visitPath)
    } catch (error) {
      setFailure(hasStatus(error, 409) ? 'notArrived' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  if (!hasRole(session, 'doctor', 'nurse')) return null
  switch (stageOf(appointment)) {
    case 'waiting':
    case 'onHold': {
      const held = stageOf(appointment) === 'onHold'
      return (
        <div className="stack close">
          <Button
            look="primary"
            size="full"
            busy={busy}
            onClick={() => void admit()}
            aria-label={t(held ? 'visit.resume.name' : 'visit.admit.name', { name })}
          >
            {t(held ? 'visit.resume' : 'visit.admit')}
          </Button>
          {failure && (
            <span className="field-error" role="alert">
              {t(`visit.admit.${failure}`)}
            </span>
          )}
        </div>
      )
    }
    case 'inCall':
      return (
        <Link className="button" href={visitPath} aria-label={t('visit.open.name', { name })}>
          {t('visit.open')}
        </Link>
      )
    case 'done':
      return (
        <Link className="button plain" href={visitPath} aria-label={t('visit.note.name', { name })}>
          {t('visit.note')}
        </Link>
      )
    default:
      return null
  }
}
