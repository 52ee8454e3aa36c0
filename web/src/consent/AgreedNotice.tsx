import { useState } from 'react'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { t } from '../i18n/text'
import { instantText, readerZone } from '../i18n/time'
import type { Consent } from './useConsent'

/** That somebody agreed, and the way to take it back. */
export function AgreedNotice({ consent }: { consent: Consent }) {
  const [asking, setAsking] = useState(false)
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState(false)
  const given = consent.data?.given
  if (!given) return null

  async function withdraw() {
    setBusy(true)
    setFailed(false)
    try {
      await consent.withdraw()
    } catch {
      setFailed(true)
    } finally {
      setBusy(false)
    }
  }

  const time = instantText(given.at, readerZone())
  return (
    <section className="stack close" aria-label={t('agree.title')}>
      <p className="small soft">
        {t(given.method === 'verbal' ? 'agree.given.verbal' : 'agree.given', {
          time,
          version: given.version,
        })}
      </p>
      <div className="row">
        <Button look="plain" onClick={() => setAsking(true)}>
          {t('agree.withdraw')}
        </Button>
      </div>
      {asking && (
        <Dialog title={t('agree.withdraw')} onClose={() => setAsking(false)}>
          <p>{t('agree.withdraw.body')}</p>
          {failed && (
            <p className="field-error" role="alert">
              {t('agree.failed')}
            </p>
          )}
          <div className="row">
            <Button look="danger" busy={busy} onClick={() => void withdraw()}>
              {t('agree.withdraw.yes')}
            </Button>
            <Button onClick={() => setAsking(false)}>{t('agree.withdraw.no')}</Button>
          </div>
        </Dialog>
      )}
    </section>
  )
}
