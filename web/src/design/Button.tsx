import type { ButtonHTMLAttributes, MouseEvent } from 'react'

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: 'normal' | 'primary' | 'danger' | 'plain'
  size?: 'normal' | 'large' | 'full'
  /** Being worked on: ignores presses but keeps focus, which a disabled button would lose. */
  busy?: boolean
}

export function Button({ look = 'normal', size = 'normal', busy = false, onClick, ...rest }: Props) {
  function press(event: MouseEvent<HTMLButtonElement>) {
    if (busy) event.preventDefault()
    else onClick?.(event)
  }
  const sizes = { normal: '', large: 'large', full: 'large full' }
  const className = ['button', look === 'normal' ? '' : look, sizes[size]].filter(Boolean).join(' ')
  return (
    <button type="button" {...rest} className={className} aria-disabled={busy || undefined} onClick={press} />
  )
}
