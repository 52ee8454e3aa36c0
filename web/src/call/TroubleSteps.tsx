import { t } from '../i18n/text'
import type { Trouble } from './devices'

/** What a person can do about it, in the order in which they would. */
export function TroubleSteps({ trouble }: { trouble: Trouble }) {
  if (trouble === 'denied') {
    return (
      <div className="trouble-steps">
        <AddressLine />
        <ol>
          <li>{t('trouble.denied.1')}</li>
          <li>{t('trouble.denied.2')}</li>
          <li>{t('trouble.denied.3')}</li>
        </ol>
      </div>
    )
  }
  return <p>{t(`trouble.${trouble}.help`)}</p>
}

/** Where to tap, as most browsers have it. */
function AddressLine() {
  return (
    <svg className="trouble-picture" viewBox="0 0 220 132" role="img" aria-label={t('trouble.picture')}>
      <rect className="line" x="1" y="5" width="218" height="34" rx="17" />
      <circle className="here" cx="21" cy="22" r="12" />
      <path className="mark" d="M15 18h12M15 26h12" />
      <circle className="mark" cx="24" cy="18" r="2.5" />
      <circle className="mark" cx="18" cy="26" r="2.5" />
      <path className="text" d="M43 22h120" />
      <rect className="panel" x="9" y="51" width="170" height="76" rx="10" />
      <path className="mark" d="M24 66h14v12H24zM38 71l7-4v10l-7-4M26 101a7 7 0 0 0 14 0M33 108v4" />
      <rect className="mark" x="30" y="91" width="6" height="13" rx="3" />
      <path className="text" d="M58 72h58M58 102h58" />
      <rect className="on" x="134" y="64" width="30" height="16" rx="8" />
      <rect className="on" x="134" y="94" width="30" height="16" rx="8" />
      <circle className="knob" cx="156" cy="72" r="5.5" />
      <circle className="knob" cx="156" cy="102" r="5.5" />
    </svg>
  )
}
