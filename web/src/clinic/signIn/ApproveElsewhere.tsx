import { useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

const POLL_MS = 2000

/** Shows the number that is to be picked on a device where one is signed in, and waits for that. */
export function ApproveElsewhere({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const ask = useCallback(
    () =>
      body(api.POST('/c/{clinic}/auth/second-factor/approval', { params: { path: { clinic } }, body: {} })),
    [api, clinic],
  )
  const asked = useLoaded(ask)
  if (!asked.data) {
    return asked.error === null ? <Loading /> : <Notice tone="bad" title={t('second.tooMany')} />
  }
  const { number } = asked.data
  return (
    <div className="stack">
      <p id="approval-number">{t('second.approve.number')}</p>
      <p className="approval-number" role="status" aria-labelledby="approval-number">
        {number}
      </p>
      <p className="soft small">{t('second.approve.help')}</p>
      <Waiting key={number} onAgain={asked.reload} onSignedIn={onSignedIn} />
    </div>
  )
}

interface WaitingProps {
  onAgain: () => Promise<void>
  onSignedIn: () => Promise<void>
}

function Waiting({ onAgain, onSignedIn }: WaitingProps) {
  const { api, clinic } = useClinicApi()
  const [failed, setFailed] = useState(false)
  const look = useCallback(
    () => body(api.GET('/c/{clinic}/auth/second-factor/approval', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(look, { everyMs: POLL_MS })
  const status = data?.status

  useEffect(() => {
    if (status !== 'approved') return
    const params = { path: { clinic } }
    body(api.POST('/c/{clinic}/auth/second-factor', { params, body: { approval: true } }))
      .then(onSignedIn)
      .catch(() => setFailed(true))
  }, [status, api, clinic, onSignedIn])

  const refused = failed || status === 'refused'
  if (!refused && status !== 'expired') return null
  return (
    <div className="stack">
      <Notice tone="bad" title={t(refused ? 'second.approve.refused' : 'second.approve.expired')} />
      <Button onClick={() => void onAgain()}>{t('second.approve.again')}</Button>
    </div>
  )
}
