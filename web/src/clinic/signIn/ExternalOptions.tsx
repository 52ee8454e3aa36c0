import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { rememberPlace } from './external'

/** Ways to sign in by somebody else's word, where the clinic has any. */
export function ExternalOptions() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/sign-in-options', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(load)
  const [failed, setFailed] = useState(false)

  async function begin(provider: string) {
    setFailed(false)
    try {
      const params = { path: { clinic } }
      const { url } = await body(
        api.POST('/c/{clinic}/auth/external-sign-ins', { params, body: { provider } }),
      )
      rememberPlace(clinic)
      location.assign(url)
    } catch {
      setFailed(true)
    }
  }

  if (!data || data.providers.length === 0) return null
  return (
    <div className="stack close">
      {failed && <Notice tone="bad" title={t('signIn.unreachable')} />}
      {data.providers.map(({ id, name }) => (
        <Button key={id} size="full" onClick={() => void begin(id)}>
          {t('signIn.external', { name })}
        </Button>
      ))}
    </div>
  )
}
