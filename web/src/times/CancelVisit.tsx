import { useState } from 'react'
import { hasSlug } from '../api/problem'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

interface Props {
  title: string
  cancel: () => Promise<unknown>
  onCancelled: () => void
  onClose: () => void
}

/** Asks once; says so when it did not work. */
export function CancelVisit({ title, cancel, onCancelled, onClose }: Props) {
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'tooLate' | 'failed' | null>(null)

  async function confirm() {
    setBusy(true)
    setFailure(null)
    try {
      await cancel()
      onCancelled()
    } catch (error) {
      setFailure(hasSlug(error, 'too-late-to-change') ? 'tooLate' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog title={title} onClose={onClose}>
      <p>{t('cancel.body')}</p>
      {failure && <Notice tone="bad" title={t(`change.${failure}`)} />}
      <div className="row">
        <Button look="danger" busy={busy} onClick={() => void confirm()}>
          {t('cancel.confirm')}
        </Button>
        <Button onClick={onClose}>{t('change.keep')}</Button>
      </div>
    </Dialog>
  )
}
