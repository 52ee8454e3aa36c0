import { t } from '../../i18n/text'

export const STAFF_ROLES = ['front-desk', 'nurse', 'doctor', 'billing', 'clinic-admin', 'auditor'] as const
export type StaffRole = (typeof STAFF_ROLES)[number]

interface Props {
  chosen: readonly StaffRole[]
  onChange: (roles: StaffRole[]) => void
}

export function RoleChoice({ chosen, onChange }: Props) {
  function toggle(role: StaffRole, on: boolean) {
    onChange(on ? [...chosen, role] : chosen.filter((other) => other !== role))
  }
  return (
    <fieldset className="field">
      <legend>{t('people.roles')}</legend>
      <div className="stack tight">
        {STAFF_ROLES.map((role) => (
          <label key={role} className="choice">
            <input
              type="checkbox"
              checked={chosen.includes(role)}
              onChange={(event) => toggle(role, event.target.checked)}
            />
            <span className="choice-name">{t(`role.${role}`)}</span>
          </label>
        ))}
      </div>
    </fieldset>
  )
}
