import { type SyntheticEvent, useId, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { FoundPatient } from '../../api/types'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

interface Props {
  chosen: FoundPatient | null
  onChoose: (patient: FoundPatient) => void
}

/** Finds the patient whom an app is to be about. */
export function PatientPicker({ chosen, onChoose }: Props) {
  const { api, clinic } = useClinicApi()
  const group = useId()
  const [name, setName] = useState('')
  const [found, setFound] = useState<FoundPatient[] | null>(null)
  const [failed, setFailed] = useState(false)

  async function search(event: SyntheticEvent) {
    event.preventDefault()
    setFailed(false)
    try {
      const params = { path: { clinic }, query: { name } }
      const { patients } = await body(api.GET('/c/{clinic}/scheduling/patients', { params }))
      setFound(patients)
    } catch {
      setFailed(true)
    }
  }

  return (
    <div className="stack close">
      <form className="stack close" onSubmit={search}>
        <Field
          label={t('picker.name')}
          hint={t('picker.hint')}
          autoComplete="off"
          minLength={2}
          required
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <div className="row">
          <Button type="submit">{t('picker.search')}</Button>
        </div>
      </form>
      {failed && <Notice tone="bad" title={t('picker.failed')} />}
      {found?.length === 0 && <Notice title={t('picker.nobody')} />}
      {found && found.length > 0 && (
        <fieldset className="field">
          <legend>{t('picker.choose')}</legend>
          <div className="stack tight">
            {found.map((patient) => (
              <label key={patient.id} className="choice">
                <input
                  type="radio"
                  name={group}
                  checked={chosen?.id === patient.id}
                  onChange={() => onChoose(patient)}
                />
                <span className="choice-name">
                  {t('picker.born', { name: patient.name, year: patient.birthYear })}
                </span>
              </label>
            ))}
          </div>
        </fieldset>
      )}
    </div>
  )
}
