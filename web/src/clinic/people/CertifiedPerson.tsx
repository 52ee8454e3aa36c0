import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import type { CertifiedPerson as Person } from '../../api/types'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { instantText } from '../../i18n/time'
import { useProof } from '../proof'
import { RoleChoice, type StaffRole } from './RoleChoice'

interface Props {
  round: string
  person: Person
  decides: boolean
  zone: string
  onDecided: () => Promise<void>
}

type Decision = 'keep' | 'change' | 'remove'

export function CertifiedPerson({ round, person, decides, zone, onDecided }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [question, setQuestion] = useState<'change' | 'remove' | null>(null)
  const [roles, setRoles] = useState<StaffRole[]>(person.roles as StaffRole[])
  const [failure, setFailure] = useState<'lastAdministrator' | 'failed' | null>(null)
  const names = (some: readonly string[]) => some.map((role) => t(`role.${role as StaffRole}`)).join(', ')

  async function decide(decision: Decision) {
    setQuestion(null)
    setFailure(null)
    try {
      const params = { path: { clinic, id: round } }
      const { user } = person
      const decided = decision === 'change' ? { user, decision, roles } : { user, decision }
      await withProof(() =>
        body(api.POST('/c/{clinic}/auth/recertifications/{id}', { params, body: decided })),
      )
    } catch (error) {
      setFailure(hasSlug(error, 'last-administrator') ? 'lastAdministrator' : 'failed')
    }
    await onDecided()
  }

  return (
    <li className="card stack close">
      <div className="row spread">
        <h3>{person.name}</h3>
        {person.decision && (
          <span className="chip good">{t(`recertification.decision.${person.decision}`)}</span>
        )}
      </div>
      <p className="soft">{names(person.roles)}</p>
      {person.newRoles && <p>{t('recertification.now', { roles: names(person.newRoles) })}</p>}
      {person.decidedAt && (
        <p className="small soft">
          {t('recertification.by', {
            name: person.decidedBy ?? '',
            time: instantText(person.decidedAt, zone),
          })}
        </p>
      )}
      {failure && <Notice tone="bad" title={t(`people.${failure}`)} />}
      {decides && !person.decision && (
        <div className="row">
          <Button
            aria-label={`${t('recertification.keep')}: ${person.name}`}
            onClick={() => void decide('keep')}
          >
            {t('recertification.keep')}
          </Button>
          <Button
            aria-label={`${t('recertification.change')}: ${person.name}`}
            onClick={() => setQuestion('change')}
          >
            {t('recertification.change')}
          </Button>
          <Button
            aria-label={`${t('recertification.remove')}: ${person.name}`}
            onClick={() => setQuestion('remove')}
          >
            {t('recertification.remove')}
          </Button>
        </div>
      )}
      {question && (
        <Dialog
          title={t(question === 'change' ? 'people.ask.roles' : 'people.ask.leave', { name: person.name })}
          onClose={() => setQuestion(null)}
        >
          {question === 'change' ? (
            <RoleChoice chosen={roles} onChange={setRoles} />
          ) : (
            <p>{t('people.ask.leave.body')}</p>
          )}
          <div className="row">
            <Button look={question === 'change' ? 'primary' : 'danger'} onClick={() => void decide(question)}>
              {t(question === 'change' ? 'people.do.roles' : 'people.do.leave')}
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
