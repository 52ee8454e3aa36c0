import { type SyntheticEvent, useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'

interface Props {
  /** They may add and end rules. */
  canChange: boolean
}

/** For which services whoever was seen is to be seen again. */
export function RecallRules({ canChange }: Props) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(async () => {
    const params = { path: { clinic } }
    const [{ rules }, { services }] = await Promise.all([
      body(api.GET('/c/{clinic}/messages/recall-rules', { params })),
      body(api.GET('/c/{clinic}/scheduling/clinic', { params })),
    ])
    return { rules, services }
  }, [api, clinic])
  const { data, reload } = useLoaded(load)
  const [service, setService] = useState('')
  const [months, setMonths] = useState('3')
  const [failed, setFailed] = useState(false)
  if (!data) return null
  const chosen = service || (data.services[0]?.id ?? '')
  const nameOf = (id: string) => data.services.find((one) => one.id === id)?.name ?? id

  async function act(done: Promise<unknown>) {
    setFailed(
      !(await done.then(
        () => true,
        () => false,
      )),
    )
    await reload()
  }
  const end = (id: string) =>
    act(body(api.DELETE('/c/{clinic}/messages/recall-rules/{id}', { params: { path: { clinic, id } } })))
  function submit(event: SyntheticEvent) {
    event.preventDefault()
    const wished = { service: chosen, intervalMonths: Number(months) }
    const params = { path: { clinic } }
    void act(body(api.POST('/c/{clinic}/messages/recall-rules', { params, body: wished })))
  }

  return (
    <section className="card stack" aria-labelledby="recall-rules">
      <h2 id="recall-rules">{t('recallRules.title')}</h2>
      <p className="soft">{t('recallRules.body')}</p>
      {failed && <Notice tone="bad" title={t('recallRules.failed')} />}
      <ul className="stack tight">
        {data.rules.map((rule) => {
          const line = t('recallRules.line', { service: nameOf(rule.service), months: rule.intervalMonths })
          return (
            <li key={rule.id} className="row spread">
              <span>{line}</span>
              {canChange && (
                <Button
                  look="plain"
                  aria-label={`${t('recallRules.end')}: ${line}`}
                  onClick={() => void end(rule.id)}
                >
                  {t('recallRules.end')}
                </Button>
              )}
            </li>
          )
        })}
      </ul>
      {canChange && (
        <form className="stack" onSubmit={submit} noValidate>
          <Select
            label={t('recallRules.service')}
            value={chosen}
            options={data.services.map((one) => [one.id, one.name])}
            onChange={setService}
          />
          <Field
            label={t('recallRules.months')}
            type="number"
            min={1}
            max={60}
            value={months}
            onChange={(event) => setMonths(event.target.value)}
          />
          <div className="row">
            <Button type="submit">{t('recallRules.add')}</Button>
          </div>
        </form>
      )}
    </section>
  )
}
