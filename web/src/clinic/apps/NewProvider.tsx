import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug, hasStatus } from '../../api/problem'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'

interface Props {
  onAdded: (redirectUri: string) => Promise<void>
  onClose: () => void
}

export function NewProvider({ onAdded, onClose }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [fields, setFields] = useState({ name: '', issuer: '', clientId: '', clientSecret: '', second: '' })
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'invalid' | 'exists' | 'failed' | null>(null)
  const put = (name: keyof typeof fields) => ({
    value: fields[name],
    onChange: (event: { target: { value: string } }) => setFields({ ...fields, [name]: event.target.value }),
  })

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailure(null)
    const { second, ...rest } = fields
    const wish = { ...rest, secondFactor: second.split(/\s+/).filter(Boolean) }
    try {
      const params = { path: { clinic } }
      const made = await withProof(() =>
        body(api.POST('/c/{clinic}/auth/identity-providers', { params, body: wish })),
      )
      await onAdded(made.redirectUri)
    } catch (error) {
      const exists = hasSlug(error, 'provider-exists')
      setFailure(exists ? 'exists' : hasStatus(error, 422) ? 'invalid' : 'failed')
      setBusy(false)
    }
  }

  return (
    <Dialog title={t('providers.add')} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        {failure && <Notice tone="bad" title={t(`providers.${failure}`)} />}
        <Field label={t('providers.name')} hint={t('providers.name.hint')} required {...put('name')} />
        <Field label={t('providers.issuer')} hint={t('providers.issuer.hint')} required {...put('issuer')} />
        <Field label={t('providers.clientId')} required {...put('clientId')} />
        <Field
          label={t('providers.clientSecret')}
          type="password"
          autoComplete="off"
          required
          {...put('clientSecret')}
        />
        <Field label={t('providers.second')} hint={t('providers.second.hint')} {...put('second')} />
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
