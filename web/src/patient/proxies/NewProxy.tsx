import { type SyntheticEvent, useId, useState } from 'react'
import { hasSlug, hasStatus } from '../../api/problem'
import type { NewProxy as Asked } from '../../api/types'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

const RELATIONSHIPS = ['parent', 'guardian', 'carer', 'spouse', 'child', 'other'] as const
const SCOPES = ['read', 'join', 'book'] as const

interface Props {
  onInvite: (asked: Asked) => Promise<void>
  onCancel: () => void
}

export function NewProxy({ onInvite, onCancel }: Props) {
  const id = useId()
  const [asked, setAsked] = useState<Asked>({
    name: '',
    email: '',
    relationship: 'parent',
    scopes: ['read', 'join'],
    until: '',
  })
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'invalid' | 'full' | 'failed' | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      await onInvite(asked)
    } catch (error) {
      if (hasStatus(error, 422)) setFailure('invalid')
      else setFailure(hasSlug(error, 'too-many-proxies') ? 'full' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  function choose(scope: (typeof SCOPES)[number], chosen: boolean) {
    const others = asked.scopes.filter((one) => one !== scope)
    setAsked({ ...asked, scopes: chosen ? [...others, scope] : others })
  }

  return (
    <form className="stack" noValidate onSubmit={submit}>
      {failure && <Notice tone="bad" title={t(`proxies.${failure}`)} />}
      <Field
        label={t('proxies.name')}
        value={asked.name}
        onChange={(event) => setAsked({ ...asked, name: event.target.value })}
      />
      <Field
        label={t('proxies.email')}
        hint={t('proxies.email.hint')}
        type="email"
        value={asked.email}
        onChange={(event) => setAsked({ ...asked, email: event.target.value })}
      />
      <div className="field">
        <label htmlFor={`${id}-relationship`}>{t('proxies.relationship')}</label>
        <select
          id={`${id}-relationship`}
          className="input"
          value={asked.relationship}
          onChange={(event) =>
            setAsked({ ...asked, relationship: event.target.value as Asked['relationship'] })
          }
        >
          {RELATIONSHIPS.map((one) => (
            <option key={one} value={one}>
              {t(`relationship.${one}`)}
            </option>
          ))}
        </select>
      </div>
      <fieldset className="field">
        <legend>{t('proxies.scopes')}</legend>
        <div className="stack close">
          {SCOPES.map((scope) => (
            <label key={scope} className="choice">
              <input
                type="checkbox"
                checked={asked.scopes.includes(scope)}
                onChange={(event) => choose(scope, event.target.checked)}
              />
              <span className="choice-name">{t(`scope.${scope}`)}</span>
            </label>
          ))}
        </div>
      </fieldset>
      <Field
        label={t('proxies.until')}
        type="date"
        value={asked.until}
        onChange={(event) => setAsked({ ...asked, until: event.target.value })}
      />
      <div className="row">
        <Button type="submit" look="primary" busy={busy}>
          {t('proxies.submit')}
        </Button>
        <Button look="plain" onClick={onCancel}>
          {t('proxies.cancel')}
        </Button>
      </div>
    </form>
  )
}
