import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug } from '../api/problem'
import type { Appointment } from '../api/types'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { hasRole, useStaff } from './staff'

interface Props {
  appointment: Appointment
  onChanged: () => void
}

/** Another practitioner takes the visit over, for who runs the day. */
export function TransferVisit({ appointment, onChanged }: Props) {
  const { session } = useStaff()
  const [open, setOpen] = useState(false)
  const { name } = appointment.patient
  if (!hasRole(session, 'front-desk', 'nurse', 'doctor')) return null
  return (
    <>
      <Button look="plain" onClick={() => setOpen(true)} aria-label={t('transfer.open.name', { name })}>
        {t('transfer.open')}
      </Button>
      {open && (
        <Transfer
          appointment={appointment}
          onClose={() => setOpen(false)}
          onDone={() => {
            setOpen(false)
            onChanged()
          }}
        />
      )}
    </>
  )
}

function Transfer({
  appointment,
  onClose,
  onDone,
}: {
  appointment: Appointment
  onClose: () => void
  onDone: () => void
}) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState<string | null>(null)
  const [failure, setFailure] = useState<'busy' | 'failed' | null>(null)
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/scheduling/clinic', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load)
  const others = data?.practitioners.filter(({ id }) => id !== appointment.practitioner.id) ?? []

  async function give(practitioner: string) {
    setBusy(practitioner)
    setFailure(null)
    try {
      const params = { path: { clinic, id: appointment.id } }
      await body(
        api.POST('/c/{clinic}/scheduling/appointments/{id}/transfer', { params, body: { practitioner } }),
      )
      onDone()
    } catch (failed) {
      setFailure(hasSlug(failed, 'practitioner-busy') ? 'busy' : 'failed')
    } finally {
      setBusy(null)
    }
  }

  return (
    <Dialog title={t('transfer.title', { name: appointment.patient.name })} onClose={onClose}>
      <p>{t('transfer.body', { name: appointment.practitioner.name })}</p>
      {!data && error === null && <Loading />}
      {error !== null && <Notice tone="bad" title={t('network.unreachable')} />}
      {data && others.length === 0 && <p className="soft">{t('transfer.nobody')}</p>}
      {failure && <Notice tone="bad" title={t(`transfer.${failure}`)} />}
      {others.map(({ id, name }) => (
        <Button key={id} size="full" busy={busy === id} onClick={() => void give(id)}>
          {name}
        </Button>
      ))}
      <Button look="plain" onClick={onClose}>
        {t('transfer.cancel')}
      </Button>
    </Dialog>
  )
}
