import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { Link } from '../../Link'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { InvitationLink } from './InvitationLink'
import { Member } from './Member'
import { NewMember } from './NewMember'

export interface Invited {
  name: string
  token: string
}

/** Who works here: taken in, given roles, let in again, let go. */
export function PeoplePage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/staff', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const [adding, setAdding] = useState(false)
  const [invited, setInvited] = useState<Invited | null>(null)
  const administers = hasRole(session, 'clinic-admin')

  async function added(invitation: Invited) {
    setAdding(false)
    setInvited(invitation)
    await reload()
  }

  return (
    <StaffPage
      title={t('people.title')}
      beside={
        administers && (
          <Button look="primary" onClick={() => setAdding(true)}>
            {t('people.add')}
          </Button>
        )
      }
    >
      <nav className="row" aria-label={t('people.title')}>
        <Link className="button" href={`/clinic/${clinic}/staff/recertification`}>
          {t('recertification.title')}
        </Link>
        <Link className="button" href={`/clinic/${clinic}/staff/licences`}>
          {t('licences.title')}
        </Link>
      </nav>
      {invited && <InvitationLink invited={invited} onDone={() => setInvited(null)} />}
      {adding && <NewMember onAdded={added} onClose={() => setAdding(false)} />}
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('people.none')} />)}
      <ul className="stack">
        {data?.staff.map((member) => (
          <Member
            key={member.id}
            member={member}
            administers={administers}
            onInvited={setInvited}
            onChanged={reload}
          />
        ))}
      </ul>
    </StaffPage>
  )
}
