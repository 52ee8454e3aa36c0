import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import type { StaffMember } from '../../api/types'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'
import type { Invited } from './PeoplePage'
import { RoleChoice, type StaffRole } from './RoleChoice'

interface Props {
  member: StaffMember
  administers: boolean
  onInvited: (invited: Invited) => void
  onChanged: () => Promise<void>
}

type Question = 'reset' | 'leave' | 'roles'

export function Member({ member, administers, onInvited, onChanged }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [question, setQuestion] = useState<Question | null>(null)
  const [roles, setRoles] = useState<StaffRole[]>([])
  const [failure, setFailure] = useState<'lastAdministrator' | 'failed' | null>(null)
  const params = { path: { clinic, id: member.id } }

  async function attempt(work: () => Promise<unknown>) {
    setQuestion(null)
    setFailure(null)
    try {
      await withProof(work)
    } catch (error) {
      setFailure(hasSlug(error, 'last-administrator') ? 'lastAdministrator' : 'failed')
    }
    await onChanged()
  }

  const actions = {
    unlock: () => body(api.POST('/c/{clinic}/auth/staff/{id}/unlock', { params, body: {} })),
    leave: () => body(api.POST('/c/{clinic}/auth/staff/{id}/leave', { params, body: {} })),
    roles: () => body(api.PUT('/c/{clinic}/auth/staff/{id}/roles', { params, body: { roles } })),
    reset: async () => {
      const made = await body(api.POST('/c/{clinic}/auth/staff/{id}/reset', { params, body: {} }))
      onInvited({ name: member.name, token: made.token })
    },
  }

  function askRoles() {
    setRoles(member.roles as StaffRole[])
    setQuestion('roles')
  }

  return (
    <li className="card stack close">
      <div className="row spread">
        <h2>{member.name}</h2>
        <Chips member={member} />
      </div>
      <p className="soft">
        {member.username} · {member.roles.map((role) => t(`role.${role as StaffRole}`)).join(', ')}
      </p>
      {failure && <Notice tone="bad" title={t(`people.${failure}`)} />}
      {administers && member.status !== 'left' && (
        <div className="row">
          <Button onClick={askRoles}>{t('people.roles')}</Button>
          {member.lockedUntil && (
            <Button onClick={() => void attempt(actions.unlock)}>{t('people.unlock')}</Button>
          )}
          <Button onClick={() => setQuestion('reset')}>{t('people.reset')}</Button>
          <Button onClick={() => setQuestion('leave')}>{t('people.leave')}</Button>
        </div>
      )}
      {question && (
        <Dialog title={t(`people.ask.${question}`, { name: member.name })} onClose={() => setQuestion(null)}>
          {question === 'roles' ? (
            <RoleChoice chosen={roles} onChange={setRoles} />
          ) : (
            <p>{t(`people.ask.${question}.body`)}</p>
          )}
          <div className="row">
            <Button
              look={question === 'roles' ? 'primary' : 'danger'}
              onClick={() => void attempt(actions[question])}
            >
              {t(`people.do.${question}`)}
            </Button>
            <Button look="plain" onClick={() => setQuestion(null)}>
              {t('people.cancel')}
            </Button>
          </div>
        </Dialog>
      )}
    </li>
  )
}

function Chips({ member }: { member: StaffMember }) {
  return (
    <span className="row">
      {member.lockedUntil && <span className="chip warm">{t('people.locked')}</span>}
      {member.status === 'invited' && <span className="chip">{t('people.invited')}</span>}
      {member.status === 'left' && <span className="chip">{t('people.left')}</span>}
      {member.status === 'active' && (
        <span className={member.secondFactor ? 'chip good' : 'chip warm'}>
          {t(member.secondFactor ? 'people.secure' : 'people.insecure')}
        </span>
      )}
    </span>
  )
}
