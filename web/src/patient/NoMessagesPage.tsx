import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasStatus } from '../api/problem'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { useFragment } from '../useFragment'

type Outcome = 'out' | 'again' | 'unknown' | 'failed'

/** Where the link in a reminder leads: nothing changes until somebody says so. */
export function NoMessagesPage() {
  const { api, clinic } = useClinicApi()
  const token = useFragment(`no-messages ${clinic}`)
  const [outcome, setOutcome] = useState<Outcome | null>(null)
  const [busy, setBusy] = useState(false)

  async function choose(out: boolean) {
    setBusy(true)
    const params = { path: { clinic } }
    await body(api.POST('/c/{clinic}/messages/opt-outs', { params, body: { token: token ?? '', out } }))
      .then(() => setOutcome(out ? 'out' : 'again'))
      .catch((error: unknown) => setOutcome(hasStatus(error, 404) ? 'unknown' : 'failed'))
    setBusy(false)
  }

  return (
    <Page name={t('product.name')} title={t('noMessages.title')} narrow>
      {outcome && (
        <Notice
          tone={outcome === 'out' || outcome === 'again' ? 'good' : 'bad'}
          title={t(`noMessages.${outcome}`)}
        />
      )}
      <p>{t('noMessages.body')}</p>
      <div className="row">
        {outcome === 'out' ? (
          <Button disabled={busy} onClick={() => void choose(false)}>
            {t('noMessages.undo')}
          </Button>
        ) : (
          <Button look="primary" disabled={busy} onClick={() => void choose(true)}>
            {t('noMessages.stop')}
          </Button>
        )}
      </div>
    </Page>
  )
}
