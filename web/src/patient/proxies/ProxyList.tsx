import { useState } from 'react'
import type { NewProxy as Asked, PatientProxy } from '../../api/types'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { dayOf, dayText, readerZone } from '../../i18n/time'
import { NewProxy } from './NewProxy'

interface Props {
  proxies: PatientProxy[]
  onInvite: (asked: Asked) => Promise<void>
  onRevoke: (id: string) => Promise<void>
}

/** Who acts for a patient, with what they may do; for the patient and for front desk. */
export function ProxyList({ proxies, onInvite, onRevoke }: Props) {
  const [adding, setAdding] = useState(false)
  const [sentTo, setSentTo] = useState<string | null>(null)
  const [failed, setFailed] = useState(false)
  const zone = readerZone()

  async function revoke(id: string) {
    setFailed(false)
    try {
      await onRevoke(id)
    } catch {
      setFailed(true)
    }
  }

  async function invite(asked: Asked) {
    await onInvite(asked)
    setSentTo(asked.email)
    setAdding(false)
  }

  return (
    <div className="stack">
      {failed && <Notice tone="bad" title={t('proxies.failed')} />}
      {sentTo && <Notice tone="good" title={t('proxies.sent', { email: sentTo })} />}
      {proxies.length === 0 && <p className="soft">{t('proxies.none')}</p>}
      <ul className="rows">
        {proxies.map((proxy) => (
          <li key={proxy.id} className="row spread">
            <span className="stack tight">
              <strong>{proxy.name}</strong>
              <span className="soft small">
                {t('proxies.line', {
                  relationship: t(`relationship.${proxy.relationship}`),
                  day: dayText(dayOf(Date.parse(proxy.endsAt) - 1, zone)),
                  scopes: proxy.scopes.map((scope) => t(`scope.${scope}`)).join(', '),
                })}{' '}
                {!proxy.came && t('proxies.notCome')}
              </span>
            </span>
            <Button
              aria-label={t('proxies.revoke.name', { name: proxy.name })}
              onClick={() => void revoke(proxy.id)}
            >
              {t('proxies.revoke')}
            </Button>
          </li>
        ))}
      </ul>
      {adding ? (
        <NewProxy onInvite={invite} onCancel={() => setAdding(false)} />
      ) : (
        <div className="row">
          <Button onClick={() => setAdding(true)}>{t('proxies.add')}</Button>
        </div>
      )}
    </div>
  )
}
