import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

const MINUTES = [5, 10, 20]

/** The patient says that they come late; the clinic's list shows it. */
export function RunningLate() {
  const { api, clinic } = useClinicApi()
  const [said, setSaid] = useState<number | 'failed' | null>(null)

  async function say(minutes: number) {
    try {
      const params = { path: { clinic } }
      await body(api.POST('/c/{clinic}/scheduling/visit/late', { params, body: { minutes } }))
      setSaid(minutes)
    } catch {
      setSaid('failed')
    }
  }

  if (typeof said === 'number') return <Notice tone="good" title={t('late.said', { count: said })} />
  return (
    <section className="stack close" aria-label={t('late.title')}>
      {said === 'failed' && <Notice tone="warm" title={t('late.failed')} />}
      <p>{t('late.title')}</p>
      <div className="row">
        {MINUTES.map((minutes) => (
          <Button key={minutes} look="plain" onClick={() => void say(minutes)}>
            {t('late.minutes', { count: minutes })}
          </Button>
        ))}
      </div>
    </section>
  )
}
