import { useId } from 'react'

interface Props {
  label: string
  value: string
  /** Value and text of each. */
  options: readonly (readonly string[])[]
  onChange: (value: string) => void
}

export function Select({ label, value, options, onChange }: Props) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} className="input" value={value} onChange={(event) => onChange(event.target.value)}>
        {options.map(([option = '', text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </div>
  )
}
