import { useState } from 'react'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Icon } from '../../design/Icon'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import type { CallLine } from './CallLine'
import { useShown } from './useCallEncryption'

interface Props {
  encryption: CallLine
  /** The only other person; `null`: there are several. */
  other: string | null
  onLeave: () => void
}

/** Whether the call is private, as it is and not as it should be; behind it the digits that both sides can compare. */
export function PrivacyLock({ encryption, other, onLeave }: Props) {
  const { privacy, code } = useShown(encryption)
  const [open, setOpen] = useState(false)
  if (privacy === 'alone') return null
  if (privacy === 'broken') {
    return (
      <Notice tone="bad" title={t('privacy.broken')}>
        <p>{t('privacy.broken.help')}</p>
      </Notice>
    )
  }
  if (privacy === 'open') {
    return (
      <Notice tone="warm" title={t('privacy.open')}>
        <p>{t('privacy.open.help')}</p>
      </Notice>
    )
  }
  if (privacy === 'asked') {
    return (
      <Dialog title={t('privacy.asked')}>
        <p>{t('privacy.asked.help')}</p>
        <div className="row">
          <Button onClick={() => encryption.agree()}>{t('privacy.agree')}</Button>
          <Button look="primary" onClick={onLeave}>
            {t('privacy.disagree')}
          </Button>
        </div>
      </Dialog>
    )
  }
  const closed = privacy === 'private'
  return (
    <div className="privacy" data-privacy={privacy}>
      <button type="button" className="button" disabled={!closed || !code} onClick={() => setOpen(true)}>
        <Icon name={closed ? 'lock' : 'lockOpen'} />
        {closed ? t('privacy.private') : t('privacy.securing')}
      </button>
      {open && code && (
        <Dialog title={t('privacy.code')} onClose={() => setOpen(false)}>
          <p>{other ? t('privacy.code.how', { name: other }) : t('privacy.code.how.all')}</p>
          <p className="safety-code">
            {code.split(' ').map((group, place) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: groups may repeat and never move.
              <span key={place}>{group} </span>
            ))}
          </p>
          <p>{t('privacy.code.differs')}</p>
          <Button look="primary" onClick={() => setOpen(false)}>
            {t('privacy.close')}
          </Button>
        </Dialog>
      )}
    </div>
  )
}
