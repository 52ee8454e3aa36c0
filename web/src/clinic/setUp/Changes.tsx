import type { SetUpOutcome } from '../../api/types'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

/** What would be done. */
export function Changes({ outcome }: { outcome: SetUpOutcome }) {
  const changes = outcome.changes.filter(({ step }) => step !== 'keep')
  if (changes.length === 0) return <Notice title={t('setUp.nothing')} />
  return (
    <section className="card stack close" aria-labelledby="changes">
      <h2 id="changes">{t('setUp.changes')}</h2>
      <ul className="stack tight">
        {changes.map(({ part, key, step, fields }) => (
          <li key={`${part} ${key}`} className="row">
            <span className={step === 'remove' ? 'chip warm' : 'chip'}>{t(`setUp.step.${step}`)}</span>
            <span>
              {t(`setUp.part.${part}`)}: {key}
            </span>
            {fields && <span className="soft">{fields.join(', ')}</span>}
          </li>
        ))}
      </ul>
    </section>
  )
}
