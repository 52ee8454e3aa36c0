import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { SignInForm } from './SignInForm'

export function SignInPage({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  return (
    <Page name={t('product.name')} title={t('signIn.title')} narrow>
      <div className="card">
        <SignInForm onSignedIn={onSignedIn} />
      </div>
    </Page>
  )
}
