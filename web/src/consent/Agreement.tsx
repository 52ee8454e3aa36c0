import { t } from '../i18n/text'
import type { ConsentText } from './useConsent'
import '../intake/intake.css'

/** What the button beneath agrees to. */
export function Agreement({ texts }: { texts: readonly ConsentText[] }) {
  return (
    <section className="card stack close" aria-labelledby="agreement-heading">
      <h2 id="agreement-heading">{t('agree.title')}</h2>
      {texts.map(({ id, language, title, text }) => (
        <div key={id} lang={language} className="stack tight">
          <h3>{title}</h3>
          <p className="consent-text">{text}</p>
        </div>
      ))}
      <p className="small soft">{t('agree.how')}</p>
    </section>
  )
}
