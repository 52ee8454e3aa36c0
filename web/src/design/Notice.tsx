import type { ReactNode } from 'react'

interface Props {
  tone?: 'calm' | 'warm' | 'bad' | 'good'
  title?: string
  children?: ReactNode
}

/** Something the person should know. Bad news interrupts a screen reader, the rest waits its turn. */
export function Notice({ tone = 'calm', title, children }: Props) {
  return (
    <div className={tone === 'calm' ? 'notice' : `notice ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      {title && <p className="notice-title">{title}</p>}
      {children}
    </div>
  )
}
