import type { AskedFor } from '../../api/types'
import { t } from '../../i18n/text'
import { resourceText, verbsOf } from './scopeText'

/** What an app may do once it is in: a line for each kind of thing. */
export function ScopeList({ asked }: { asked: AskedFor }) {
  return (
    <ul className="stack tight">
      {asked.identity && <li>{t('scope.identity')}</li>}
      {asked.scopes.map(({ level, resource, permissions }) => (
        <li key={`${level}/${resource}`}>
          {t(level === 'patient' ? 'scope.ofPatient' : 'scope.ofEverybody', {
            verbs: verbsOf(permissions),
            resource: resourceText(resource),
          })}
        </li>
      ))}
      {asked.offline && <li>{t('scope.offline')}</li>}
    </ul>
  )
}
