import type { AuditSource } from '../../api/types'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

/** Each host keeps what was read there: what could not be reached is said. */
export function Sources({ sources }: { sources: readonly AuditSource[] }) {
  const incomplete = sources.filter(({ state }) => state !== 'answered')
  if (incomplete.length === 0) return null
  return (
    <Notice tone="warm" title={t('audit.incomplete')}>
      <ul>
        {incomplete.map(({ node, state }) => (
          <li key={node}>{t(state === 'copied' ? 'audit.copied' : 'audit.missing', { node })}</li>
        ))}
      </ul>
    </Notice>
  )
}
