import { discover } from './api/network'
import { useLoaded } from './api/useLoaded'
import { Loading } from './design/Loading'
import { Notice } from './design/Notice'
import { Page } from './design/Page'
import { t } from './i18n/text'
import { Link } from './Link'

/** The network's front door: which clinics are here. */
export function WelcomePage() {
  const network = useLoaded(discover)
  return (
    <Page name={t('product.name')} title={t('welcome.title')} narrow>
      <p>{t('welcome.body')}</p>
      {!network.data && !network.error && <Loading />}
      {network.error !== null && <Notice tone="bad" title={t('network.unreachable')} />}
      {network.data?.clinics.map((clinic) => (
        <section key={clinic} className="card stack close">
          <h2>{clinic}</h2>
          <div className="row">
            <Link className="button primary" href={`/c/${clinic}`}>
              {t('welcome.book')}
            </Link>
            <Link className="button" href={`/clinic/${clinic}`}>
              {t('welcome.staff')}
            </Link>
          </div>
        </section>
      ))}
    </Page>
  )
}
