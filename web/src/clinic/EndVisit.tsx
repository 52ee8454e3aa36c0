import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Appointment } from '../api/types'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import type { Note } from './useNote'

interface Props {
  appointment: Appointment
  note: Note
  onClose: () => void
  onEnded: () => void
}

/** Asks once, saves the note first, and ends only what has been saved. */
export function EndVisit({ appointment, note, onClose, onEnded }: Props) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'note' | 'end' | null>(null)

  async function end() {
    setBusy(true)
    setFailure(null)
    try {
      if (!(await note.keeper.flush())) {
        setFailure('note')
        return
      }
      const params = { path: { clinic, id: appointment.id } }
      await body(api.POST('/c/{clinic}/scheduling/appointments/{id}/end', { params }))
      onEnded()
    } catch {
      setFailure('end')
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog title={t('end.title', { name: appointment.patient.name })} onClose={onClose}>
      <p>{t('end.body')}</p>
      {failure && <Notice tone="bad" title={t(`end.failed.${failure}`)} />}
      <div className="row">
        <Button look="danger" busy={busy} onClick={() => void end()}>
          {busy ? t('end.busy') : t('end.confirm')}
        </Button>
        <Button onClick={onClose}>{t('end.cancel')}</Button>
      </div>
    </Dialog>
  )
}
