import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

/** Apps that can be opened for the patient of a visit. Where there are none, nothing is shown. */
export function LaunchApps({ appointment }: { appointment: string }) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/oauth/launchable', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(load)
  const [failed, setFailed] = useState(false)

  async function open(app: string) {
    setFailed(false)
    // Before the answer: a browser lets a page open another one only while a press is fresh.
    const other = window.open('', '_blank')
    try {
      const params = { path: { clinic } }
      const { url } = await body(
        api.POST('/c/{clinic}/auth/oauth/launches', { params, body: { app, appointment } }),
      )
      if (!other) throw new Error('the browser opens no other page')
      other.opener = null
      other.location.replace(url)
    } catch {
      other?.close()
      setFailed(true)
    }
  }

  if (!data || data.apps.length === 0) return null
  return (
    <section className="card stack close" aria-labelledby="apps">
      <h2 id="apps">{t('launch.title')}</h2>
      {failed && <Notice tone="bad" title={t('people.failed')} />}
      <div className="row">
        {data.apps.map(({ id, name }) => (
          <Button key={id} onClick={() => void open(id)}>
            {t('launch.open', { name })}
          </Button>
        ))}
      </div>
    </section>
  )
}
