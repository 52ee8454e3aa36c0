import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { isInApp } from './inApp'
import { keptInvitation } from './invitation'

/** Inside another app a page often gets no camera: the link is taken along to the browser. */
export function OpenInBrowser() {
  const { clinic } = useClinicApi()
  const [copied, setCopied] = useState<boolean | null>(null)
  if (!isInApp(navigator.userAgent)) return null
  const token = keptInvitation(clinic)

  async function copy() {
    const link = `${location.origin}/c/${clinic}/visit#${token}`
    setCopied(
      await navigator.clipboard.writeText(link).then(
        () => true,
        () => false,
      ),
    )
  }

  return (
    <Notice tone="warm" title={t('inApp.title')}>
      <p>{t('inApp.body')}</p>
      <ol>
        <li>{t('inApp.1')}</li>
        <li>{t('inApp.2')}</li>
      </ol>
      {token && (
        <div className="row">
          <Button onClick={() => void copy()}>{t('inApp.copy')}</Button>
          {copied !== null && <p role="status">{t(copied ? 'inApp.copied' : 'inApp.notCopied')}</p>}
        </div>
      )}
    </Notice>
  )
}
