import { type SyntheticEvent, useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { plural, t } from '../../i18n/text'
import { dateText, dayOf } from '../../i18n/time'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { CertifiedPerson } from './CertifiedPerson'

/** Everybody's roles are looked through until a day; what was decided, by whom and when, stays as evidence. */
export function RecertificationPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const administers = hasRole(session, 'clinic-admin')
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/recertifications', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const [dueOn, setDueOn] = useState('')
  const [failure, setFailure] = useState<'open' | 'failed' | null>(null)

  async function begin(event: SyntheticEvent) {
    event.preventDefault()
    setFailure(null)
    try {
      const params = { path: { clinic } }
      await body(api.POST('/c/{clinic}/auth/recertifications', { params, body: { dueOn } }))
    } catch (refusal) {
      setFailure(hasSlug(refusal, 'recertification-open') ? 'open' : 'failed')
    }
    await reload()
  }

  return (
    <StaffPage title={t('recertification.title')}>
      <p className="soft">{t('recertification.body')}</p>
      {administers && (
        <form className="card stack close" onSubmit={begin}>
          {failure && <Notice tone="bad" title={t(`recertification.${failure}`)} />}
          <Field
            label={t('recertification.dueOn')}
            type="date"
            min={dayOf(Date.now(), session.clinic.timeZone)}
            required
            value={dueOn}
            onChange={(event) => setDueOn(event.target.value)}
          />
          <div className="row">
            <Button type="submit" look="primary">
              {t('recertification.begin')}
            </Button>
          </div>
        </form>
      )}
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('people.none')} />)}
      {data?.recertifications.map((round) => (
        <section key={round.id} className="stack" aria-label={dateText(round.dueOn)}>
          <div className="row spread">
            <h2>{t('recertification.until', { day: dateText(round.dueOn) })}</h2>
            <span className={round.overdue ? 'chip warm' : round.open === 0 ? 'chip good' : 'chip'}>
              {round.overdue
                ? plural('recertification.overdue', round.open)
                : plural('recertification.left', round.open)}
            </span>
          </div>
          <ul className="stack">
            {round.people.map((person) => (
              <CertifiedPerson
                key={person.user}
                round={round.id}
                person={person}
                decides={administers}
                zone={session.clinic.timeZone}
                onDecided={reload}
              />
            ))}
          </ul>
        </section>
      ))}
    </StaffPage>
  )
}
