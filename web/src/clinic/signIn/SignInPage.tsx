import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { ExternalOptions } from './ExternalOptions'
import { SignInForm } from './SignInForm'

export function SignInPage({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  return (
    <Page name={t('product.name')} title={t('signIn.title')} narrow>
      <div className="card stack">
        <SignInForm onSignedIn={onSignedIn} />
        <ExternalOptions />
      </div>
    </Page>
  )
}
