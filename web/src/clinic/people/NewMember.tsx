import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug, hasStatus } from '../../api/problem'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'
import type { Invited } from './PeoplePage'
import { RoleChoice, type StaffRole } from './RoleChoice'

interface Props {
  onAdded: (invited: Invited) => Promise<void>
  onClose: () => void
}

export function NewMember({ onAdded, onClose }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [name, setName] = useState('')
  const [username, setUsername] = useState('')
  const [roles, setRoles] = useState<StaffRole[]>([])
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'taken' | 'invalid' | 'failed' | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic } }
      const asked = { name, username, roles }
      const made = await withProof(() => body(api.POST('/c/{clinic}/auth/staff', { params, body: asked })))
      await onAdded({ name, token: made.token })
    } catch (error) {
      const taken = hasSlug(error, 'username-taken')
      setFailure(taken ? 'taken' : hasStatus(error, 422) ? 'invalid' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog title={t('people.add')} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        {failure && <Notice tone="bad" title={t(`people.${failure}`)} />}
        <Field
          label={t('people.name')}
          required
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <Field
          label={t('signIn.username')}
          hint={t('people.username.hint')}
          autoCapitalize="none"
          spellCheck={false}
          required
          value={username}
          onChange={(event) => setUsername(event.target.value)}
        />
        <RoleChoice chosen={roles} onChange={setRoles} />
        <div className="row">
          <Button type="submit" look="primary" busy={busy}>
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
