import type { AnchorHTMLAttributes, MouseEvent } from 'react'
import { navigate } from './routing'

/** A link inside the pages: keeps the document, and leaves new tabs and windows to the browser. */
export function Link({ href, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  function follow(event: MouseEvent<HTMLAnchorElement>) {
    onClick?.(event)
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    if (event.defaultPrevented || !plain) return
    event.preventDefault()
    navigate(href)
    scrollTo(0, 0)
  }
  return <a {...rest} href={href} onClick={follow} />
}
