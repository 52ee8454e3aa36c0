import { useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Field } from '../design/Field'
import { Notice } from '../design/Notice'
import { Select } from '../design/Select'
import { Unreachable } from '../design/Unreachable'
import { t } from '../i18n/text'
import { timeText } from '../i18n/time'
import { useAttempt } from '../patient/useAttempt'
import '../intake/intake.css'

interface Props {
  encounter: string
  zone: string
  /** The call was refused for want of it. */
  refused: boolean
  /** The call may begin now. */
  onGiven: () => void
}

/** Whether the patient agreed; if not, what a clinician heard, or why it cannot wait. */
export function ConsentPanel({ encounter, zone, refused, onGiven }: Props) {
  const { api, clinic } = useClinicApi()
  const [step, setStep] = useState<'verbal' | 'emergency' | null>(null)
  const [language, setLanguage] = useState('en')
  const [reason, setReason] = useState('')
  const { busy, failure, attempt } = useAttempt(() => true)
  const load = useCallback(() => {
    const path = { clinic, id: encounter }
    const params = { path, query: { language } }
    return body(api.GET('/c/{clinic}/records/encounters/{id}/consent', { params }))
  }, [api, clinic, encounter, language])
  const loaded = useLoaded(load)
  const { data, reload } = loaded
  // What was refused is told by what is known now; what is typed meanwhile stays.
  useEffect(() => {
    if (refused) void reload()
  }, [refused, reload])
  if (!data) return <Unreachable loaded={loaded} />
  if (data.texts.length === 0) return null
  const { given, overriddenAt } = data
  const path = { clinic, id: encounter }

  const attest = () =>
    attempt(async () => {
      const texts = data.texts.map(({ id, sha256 }) => ({ text: id, sha256 }))
      const params = { path }
      await body(api.POST('/c/{clinic}/records/encounters/{id}/consent', { params, body: { texts } }))
      await done()
    })
  const override = () =>
    attempt(async () => {
      const params = { path }
      const why = { reason }
      await body(api.POST('/c/{clinic}/records/encounters/{id}/consent-override', { params, body: why }))
      await done()
    })

  async function done() {
    setStep(null)
    await reload()
    onGiven()
  }

  return (
    <section className="card stack close" aria-labelledby="consent-heading">
      <h2 id="consent-heading">{t('attest.title')}</h2>
      {given && (
        <p>
          {t(`attest.${given.method}`, {
            time: timeText(given.at, zone),
            version: given.version,
            language: given.language,
          })}
        </p>
      )}
      {!given && !data.missing && overriddenAt && (
        <p>{t('attest.overridden', { time: timeText(overriddenAt, zone) })}</p>
      )}
      {data.missing && (
        <>
          <Notice tone="warm" title={t(data.withdrawnAt ? 'attest.withdrawn' : 'attest.missing')} />
          <div className="row">
            {refused && <Button onClick={() => void reload().then(onGiven)}>{t('attest.again')}</Button>}
            <Button onClick={() => setStep('verbal')}>{t('attest.begin')}</Button>
            <Button look="plain" onClick={() => setStep('emergency')}>
              {t('attest.emergency')}
            </Button>
          </div>
          {step === 'verbal' && (
            <div className="stack">
              {data.languages.length > 1 && (
                <Select
                  label={t('attest.which')}
                  value={language}
                  options={data.languages.map((one) => [one, one])}
                  onChange={setLanguage}
                />
              )}
              {data.texts.map((text) => (
                <div key={text.id} lang={text.language} className="stack tight">
                  <h3>{text.title}</h3>
                  <p className="consent-text">{text.text}</p>
                </div>
              ))}
              <div className="row">
                <Button look="primary" busy={busy} onClick={() => void attest()}>
                  {t('attest.heard')}
                </Button>
              </div>
            </div>
          )}
          {step === 'emergency' && (
            <form
              className="stack"
              onSubmit={(event) => {
                event.preventDefault()
                void override()
              }}
            >
              <Field
                label={t('attest.reason')}
                hint={t('attest.reason.hint')}
                minLength={10}
                maxLength={200}
                required
                value={reason}
                onChange={(event) => setReason(event.target.value)}
              />
              <div className="row">
                <Button type="submit" look="danger" busy={busy}>
                  {t('attest.override')}
                </Button>
              </div>
            </form>
          )}
          {failure && <Notice tone="bad" title={t('attest.failed')} />}
        </>
      )}
    </section>
  )
}
