import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import type { Invited } from './PeoplePage'

/** The link is shown once, to be handed over in person or by a way that only they read. */
export function InvitationLink({ invited, onDone }: { invited: Invited; onDone: () => void }) {
  const { clinic } = useClinicApi()
  const [copied, setCopied] = useState(false)
  const link = `${location.origin}/clinic/${clinic}/enrol#${invited.token}`

  async function copy() {
    await navigator.clipboard.writeText(link)
    setCopied(true)
  }

  return (
    <Notice tone="good" title={t('people.link.title', { name: invited.name })}>
      <p>{t('people.link.body')}</p>
      <p className="secret">{link}</p>
      <div className="row">
        <Button onClick={() => void copy()}>{t(copied ? 'recovery.copied' : 'people.link.copy')}</Button>
        <Button look="plain" onClick={onDone}>
          {t('people.link.done')}
        </Button>
      </div>
    </Notice>
  )
}
