import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { ApiError, hasStatus } from '../../api/problem'
import type { RegisteredApp } from '../../api/types'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { type TextKey, t } from '../../i18n/text'
import { useProof } from '../proof'

const KINDS: readonly RegisteredApp['kind'][] = ['public', 'secret', 'key']
const SCOPES = 'openid fhirUser launch launch/patient patient/*.rs'
/** Fields of the API's refusal, by where they stand on the form. */
const WRONG: Record<string, TextKey> = {
  redirectUris: 'apps.wrong.redirectUris',
  launchUri: 'apps.wrong.launchUri',
  scopes: 'apps.wrong.scopes',
  jwks: 'apps.wrong.jwksUri',
  jwksUri: 'apps.wrong.jwksUri',
}

interface Props {
  onAdded: (app: { name: string; id: string; secret?: string | undefined }) => Promise<void>
  onClose: () => void
}

export function NewApp({ onAdded, onClose }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [kind, setKind] = useState<RegisteredApp['kind']>('secret')
  const [fields, setFields] = useState({ name: '', redirect: '', launch: '', scopes: SCOPES, jwks: '' })
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<TextKey | null>(null)
  const put = (name: keyof typeof fields) => ({
    value: fields[name],
    onChange: (event: { target: { value: string } }) => setFields({ ...fields, [name]: event.target.value }),
  })

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailure(null)
    const { name, redirect, launch, scopes, jwks } = fields
    const wish = {
      name,
      kind,
      scopes: scopes.trim(),
      redirectUris: redirect.split(/\s+/).filter(Boolean),
      launchUri: launch.trim() || null,
      jwksUri: kind === 'key' ? jwks.trim() : null,
    }
    try {
      const params = { path: { clinic } }
      const made = await withProof(() =>
        body(api.POST('/c/{clinic}/auth/oauth/clients', { params, body: wish })),
      )
      await onAdded({ name, id: made.id, secret: made.secret })
    } catch (error) {
      setFailure(failureOf(error))
      setBusy(false)
    }
  }

  return (
    <Dialog title={t('apps.add')} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        {failure && <Notice tone="bad" title={(t as (key: TextKey) => string)(failure)} />}
        <Field label={t('apps.name')} required {...put('name')} />
        <fieldset className="field">
          <legend>{t('apps.kind')}</legend>
          <div className="stack tight">
            {KINDS.map((one) => (
              <label key={one} className="choice">
                <input type="radio" name="kind" checked={kind === one} onChange={() => setKind(one)} />
                <span className="choice-name">{t(`apps.kind.${one}.long`)}</span>
              </label>
            ))}
          </div>
        </fieldset>
        <Field
          label={t('apps.redirectUris')}
          hint={t('apps.redirectUris.hint')}
          required={kind !== 'key'}
          {...put('redirect')}
        />
        <Field label={t('apps.launchUri')} hint={t('apps.launchUri.hint')} {...put('launch')} />
        <Field label={t('apps.scopes')} hint={t('apps.scopes.hint')} required {...put('scopes')} />
        {kind === 'key' && (
          <Field label={t('apps.jwksUri')} hint={t('apps.jwksUri.hint')} required {...put('jwks')} />
        )}
        <div className="row">
          <Button type="submit" look="primary" busy={busy}>
            {t('people.add.submit')}
          </Button>
          <Button look="plain" onClick={onClose}>
            {t('people.cancel')}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function failureOf(error: unknown): TextKey {
  if (!hasStatus(error, 422) || !(error instanceof ApiError)) return 'people.failed'
  const [first] = (error.document.errors ?? []) as { pointer: string }[]
  return WRONG[first?.pointer.split('/')[1] ?? ''] ?? 'people.failed'
}
