import { type SyntheticEvent, useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'

interface Props {
  onAdded: () => Promise<void>
  onClose: () => void
}

export function NewLicence({ onAdded, onClose }: Props) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/staff', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(load)
  const people = data?.staff.filter(({ status }) => status !== 'left') ?? []
  const [chosen, setChosen] = useState({
    user: '',
    jurisdiction: '',
    number: '',
    validFrom: '',
    validUntil: '',
  })
  const [failed, setFailed] = useState(false)
  const set = (change: Partial<typeof chosen>) => setChosen({ ...chosen, ...change })

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    setFailed(false)
    try {
      const params = { path: { clinic } }
      const user = chosen.user || people[0]?.id || ''
      await body(api.POST('/c/{clinic}/auth/licences', { params, body: { ...chosen, user } }))
      await onAdded()
    } catch {
      setFailed(true)
    }
  }

  return (
    <Dialog title={t('licences.add')} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        {failed && <Notice tone="bad" title={t('licences.invalid')} />}
        <Select
          label={t('licences.whose')}
          value={chosen.user || (people[0]?.id ?? '')}
          onChange={(user) => set({ user })}
          options={people.map(({ id, name }) => [id, name])}
        />
        <Field
          label={t('licences.jurisdiction')}
          hint={t('licences.jurisdiction.hint')}
          required
          value={chosen.jurisdiction}
          onChange={(event) => set({ jurisdiction: event.target.value })}
        />
        <Field
          label={t('licences.number')}
          required
          value={chosen.number}
          onChange={(event) => set({ number: event.target.value })}
        />
        <Field
          label={t('licences.from')}
          type="date"
          required
          value={chosen.validFrom}
          onChange={(event) => set({ validFrom: event.target.value })}
        />
        <Field
          label={t('licences.until')}
          type="date"
          required
          value={chosen.validUntil}
          onChange={(event) => set({ validUntil: event.target.value })}
        />
        <div className="row">
          <Button type="submit" look="primary">
            {t('people.add.submit')}
          </Button>
          <Button look="plain" onClick={onClose}>
            {t('people.cancel')}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
