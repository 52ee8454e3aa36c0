import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { ApiError, hasSlug, hasStatus } from '../../api/problem'
import type { SetUp, SetUpOutcome } from '../../api/types'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'
import { AboutClinic } from './AboutClinic'
import { Changes } from './Changes'
import { type Bundle, type InputError, type List, type Row, shownOf } from './fields'
import { QuestionnaireText } from './QuestionnaireText'
import { Rows } from './Rows'

const LISTS: readonly List[] = ['sites', 'services', 'exceptions', 'consents']

interface Props {
  kept: SetUp
  onSaved: () => Promise<unknown>
}

/** Everything is written here first; what it would change is shown before it is done. */
export function SetUpForm({ kept, onSaved }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [bundle, setBundle] = useState<Bundle>(kept.bundle)
  const [planned, setPlanned] = useState<SetUpOutcome | null>(null)
  const [errors, setErrors] = useState<InputError[]>([])
  const [failed, setFailed] = useState<'invalid' | 'changed' | 'failed' | null>(null)
  const [busy, setBusy] = useState(false)

  function change(next: Bundle) {
    setBundle(next)
    setPlanned(null)
  }

  async function send(plan: boolean): Promise<SetUpOutcome | null> {
    setBusy(true)
    setErrors([])
    setFailed(null)
    try {
      const params = { path: { clinic }, query: { plan, version: kept.version } }
      return await withProof(() => body(api.PUT('/c/{clinic}/auth/set-up', { params, body: bundle })))
    } catch (error) {
      setErrors(error instanceof ApiError ? ((error.document.errors as InputError[]) ?? []) : [])
      setFailed(hasSlug(error, 'set-up-changed') ? 'changed' : hasStatus(error, 422) ? 'invalid' : 'failed')
      return null
    } finally {
      setBusy(false)
    }
  }

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    if (!planned) setPlanned(await send(true))
    else if (await send(false)) await onSaved()
  }

  return (
    <form className="stack wide" noValidate onSubmit={submit}>
      <AboutClinic
        about={bundle.clinic}
        errors={errors}
        onChange={(clinic) => change({ ...bundle, clinic })}
      />
      {LISTS.map((list) => (
        <Rows
          key={list}
          list={list}
          title={t(`setUp.${list}`)}
          rows={(bundle[list] ?? []) as Row[]}
          place={`/${list}`}
          errors={errors}
          onChange={(rows) => change({ ...bundle, [list]: rows })}
          more={
            list === 'sites'
              ? (site, at, onSite) => (
                  <Rows
                    list="rooms"
                    title={t('setUp.rooms', { name: shownOf(site, 'name') })}
                    rows={(site.rooms ?? []) as Row[]}
                    place={`/sites/${at}/rooms`}
                    errors={errors}
                    onChange={(rooms) => onSite({ ...site, rooms })}
                  />
                )
              : undefined
          }
        />
      ))}
      <Rows
        list="questionnaires"
        title={t('setUp.questionnaires')}
        rows={(bundle.questionnaires ?? []) as unknown as Row[]}
        place="/questionnaires"
        errors={errors}
        onChange={(rows) => change({ ...bundle, questionnaires: rows } as unknown as Bundle)}
        more={(row, at, onRow) => (
          <QuestionnaireText
            row={row}
            place={`/questionnaires/${at}`}
            errors={errors}
            checked={
              planned !== null || kept.bundle.questionnaires?.some((old) => old === (row as unknown)) === true
            }
            onChange={onRow}
          />
        )}
      />
      {bundle.staff?.map((member, at) => (
        <Rows
          key={member.username}
          list="hours"
          title={t('setUp.hours', { name: member.name })}
          rows={(member.hours ?? []) as unknown as Row[]}
          place={`/staff/${at}/hours`}
          errors={errors}
          onChange={(hours) => {
            const staff = bundle.staff?.map((other) => (other === member ? { ...other, hours } : other))
            change({ ...bundle, staff } as Bundle)
          }}
        />
      ))}
      {failed && <Notice tone="bad" title={t(`setUp.${failed}`)} />}
      {planned && <Changes outcome={planned} />}
      <div className="row">
        <Button type="submit" look="primary" busy={busy}>
          {t(planned ? 'setUp.save' : 'setUp.plan')}
        </Button>
      </div>
    </form>
  )
}
