import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Appointment } from '../api/types'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Notice } from '../design/Notice'
import { Select } from '../design/Select'
import { languageName, languageOptions } from '../i18n/languages'
import { t } from '../i18n/text'
import { hasRole, useStaff } from './staff'

/** That somebody has to interpret, and whether anybody is invited to. */
export function InterpreterChip({ appointment }: { appointment: Appointment }) {
  const { interpreter } = appointment
  if (!interpreter) return null
  const language = languageName(interpreter.language)
  return (
    <span className={interpreter.invited ? 'chip good' : 'chip warm'}>
      {t(interpreter.invited ? 'interpreters.invited' : 'interpreters.missing', { language })}
    </span>
  )
}

/** Both, where one is needed. */
export function InterpreterRow({ appointment, onChanged }: Props) {
  if (!appointment.interpreter) return null
  return (
    <div className="row">
      <InterpreterChip appointment={appointment} />
      <InterpreterNeed appointment={appointment} onChanged={onChanged} />
    </div>
  )
}

interface Props {
  appointment: Appointment
  onChanged: () => void
}

/** Whether somebody has to interpret, for who runs the day. */
export function InterpreterNeed({ appointment, onChanged }: Props) {
  const { session } = useStaff()
  const [open, setOpen] = useState(false)
  const { name } = appointment.patient
  if (!hasRole(session, 'front-desk', 'nurse', 'doctor')) return null
  return (
    <>
      <Button look="plain" onClick={() => setOpen(true)} aria-label={t('interpreters.open.name', { name })}>
        {t('interpreters.open')}
      </Button>
      {open && (
        <Need
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

function Need({
  appointment,
  onClose,
  onDone,
}: { onClose: () => void; onDone: () => void } & Pick<Props, 'appointment'>) {
  const { api, clinic } = useClinicApi()
  const now = appointment.interpreter?.language ?? ''
  const [language, setLanguage] = useState(now)
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState(false)
  const options = languageOptions()
  const known = now === '' || options.some(([code]) => code === now)

  async function save() {
    setBusy(true)
    setFailed(false)
    try {
      const params = { path: { clinic, id: appointment.id } }
      const asked = { language: language || null }
      await body(api.PUT('/c/{clinic}/scheduling/appointments/{id}/interpreter', { params, body: asked }))
      onDone()
    } catch {
      setFailed(true)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog title={t('interpreters.title', { name: appointment.patient.name })} onClose={onClose}>
      <Select
        label={t('interpreters.language')}
        value={language}
        options={[
          ['', t('interpreters.none')],
          ...(known ? [] : [[now, languageName(now)] as const]),
          ...options,
        ]}
        onChange={setLanguage}
      />
      {failed && <Notice tone="bad" title={t('interpreters.failed')} />}
      <div className="row">
        <Button look="primary" busy={busy} onClick={() => void save()}>
          {t('interpreters.save')}
        </Button>
        <Button look="plain" onClick={onClose}>
          {t('interpreters.cancel')}
        </Button>
      </div>
    </Dialog>
  )
}
