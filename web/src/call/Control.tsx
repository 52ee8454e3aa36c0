import { Icon, type IconName } from '../design/Icon'

interface Props {
  icon: IconName
  /** What pressing it does. */
  label: string
  /** Whether something that people have on by themselves is off. */
  off?: boolean
  disabled?: boolean
  /** For one that shows something more: whether it does. */
  expanded?: boolean
  onClick: () => void
}

/** One of the round buttons of a call. */
export function Control({ icon, label, off = false, disabled = false, expanded, onClick }: Props) {
  return (
    <button
      type="button"
      className={off ? 'control off' : 'control'}
      disabled={disabled}
      aria-expanded={expanded}
      onClick={onClick}
    >
      <Icon name={icon} />
      {label}
    </button>
  )
}
