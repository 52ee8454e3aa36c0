import { useCallback, useState } from 'react'
import { pollHeaders } from '../../api/attendance'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { Approval } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { deviceText } from './passkeys'

const POLL_MS = 5000

/** A sign-in of one's own that waits to be let through, over whatever page is open. */
export function WaitingApprovals() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () =>
      body(api.GET('/c/{clinic}/auth/approvals', { params: { path: { clinic } }, headers: pollHeaders() })),
    [api, clinic],
  )
  const { data, reload } = useLoaded(load, { everyMs: POLL_MS })
  const [wrong, setWrong] = useState(false)
  const [decided, setDecided] = useState<string[]>([])
  const approval = data?.approvals.find(({ id }) => !decided.includes(id))

  async function decide({ id }: Approval, number: number | null) {
    setDecided([...decided, id])
    const params = { path: { clinic, id } }
    const asked = body(api.POST('/c/{clinic}/auth/approvals/{id}', { params, body: { number } }))
    const answer = await asked.catch(() => ({ approved: number !== null }))
    setWrong(number !== null && !answer.approved)
    await reload()
  }

  if (wrong) {
    return (
      <Dialog title={t('approval.title')} onClose={() => setWrong(false)}>
        <Notice tone="bad" title={t('approval.wrong')} />
        <Button onClick={() => setWrong(false)}>{t('proxies.close')}</Button>
      </Dialog>
    )
  }
  if (!approval) return null
  const device = deviceText(approval.device)
  return (
    <Dialog title={t('approval.title')} onClose={() => void decide(approval, null)}>
      <p>{t('approval.body')}</p>
      <p className="soft">
        {device && t('approval.device', { device })}{' '}
        {approval.country && t('approval.country', { country: approval.country })}
      </p>
      <div className="row">
        {approval.choices.map((number) => (
          <Button
            key={number}
            size="large"
            aria-label={t('approval.pick', { number })}
            onClick={() => void decide(approval, number)}
          >
            {number}
          </Button>
        ))}
      </div>
      <Button look="danger" onClick={() => void decide(approval, null)}>
        {t('approval.no')}
      </Button>
    </Dialog>
  )
}
