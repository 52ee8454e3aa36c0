import { useCallback } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { useLoaded } from '../api/useLoaded'
import { Unreachable } from '../design/Unreachable'
import { t } from '../i18n/text'
import { dayOf, dayText } from '../i18n/time'
import { compare } from '../intake/changes'
import type { Answer } from '../intake/rules'
import { nameOf, textOf } from '../intake/translated'

/** What the patient answered before the visit, and what of it is not as the last time. */
export function IntakePanel({ encounter, zone }: { encounter: string; zone: string }) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(() => {
    const path = { clinic, id: encounter }
    return body(api.GET('/c/{clinic}/records/encounters/{id}/intake', { params: { path } }))
  }, [api, clinic, encounter])
  const loaded = useLoaded(load)
  const { data } = loaded
  if (!data) return <Unreachable loaded={loaded} />
  if (!data.questionnaire) return null
  const { questionnaire, response, previous } = data
  const rows = response ? compare({ questionnaire, response }, previous) : []
  return (
    <section className="card stack close" aria-labelledby="answers-heading">
      <h2 id="answers-heading">{t('answers.title')}</h2>
      {!response && <p>{t('answers.none')}</p>}
      {response?.status === 'in-progress' && <p className="soft">{t('answers.unfinished')}</p>}
      {response && previous && (
        <p className="small soft">{t('answers.compared', { day: dayText(dayOf(previous.start, zone)) })}</p>
      )}
      <dl className="facts">
        {rows.map(({ item, answers, before, mark }) => (
          <div key={item.linkId} className="stack tight" data-mark={mark ?? undefined}>
            <dt>
              {textOf(item)} {mark && <span className="chip warm">{t(`answers.mark.${mark}`)}</span>}
            </dt>
            <dd>{answers.length > 0 ? answers.map(words).join(', ') : '–'}</dd>
            {mark && before.length > 0 && (
              <dd className="small soft">{t('answers.before', { text: before.map(words).join(', ') })}</dd>
            )}
          </div>
        ))}
      </dl>
    </section>
  )
}

function words(answer: Answer): string {
  if (answer.valueBoolean !== undefined) return t(answer.valueBoolean ? 'answers.yes' : 'answers.no')
  if (answer.valueCoding || answer.valueString !== undefined) return nameOf(answer)
  if (answer.valueDate) return dayText(answer.valueDate)
  return String(answer.valueInteger ?? answer.valueDecimal ?? '')
}
