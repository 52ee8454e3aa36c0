import { type MouseEvent, type ReactNode, useEffect, useRef } from 'react'
import { t } from '../i18n/text'
import icon from '../icon.svg'
import { arrivedByLink } from '../routing'

interface Props {
  /** Name in the top bar: the clinic, or the product where no clinic is known yet. */
  name: string
  title: string
  subtitle?: string | undefined
  /** Text of the browser's tab when it says more than the title. */
  tabTitle?: string
  narrow?: boolean
  wide?: boolean
  /** In the top bar. */
  actions?: ReactNode
  /** Beside the heading, where there is room. */
  beside?: ReactNode
  children: ReactNode
}

/** The frame of every page. Moves focus to the heading when the page changes, as a new document would. */
export function Page({
  name,
  title,
  subtitle,
  tabTitle,
  narrow = false,
  wide = false,
  actions,
  beside,
  children,
}: Props) {
  const heading = useRef<HTMLHeadingElement>(null)
  const main = useRef<HTMLElement>(null)
  const first = useRef(true)

  useEffect(() => {
    document.title = `${tabTitle ?? title} · ${name}`
  }, [tabTitle, title, name])

  // biome-ignore lint/correctness/useExhaustiveDependencies: another title is another page.
  useEffect(() => {
    if (!first.current || arrivedByLink()) heading.current?.focus()
    first.current = false
  }, [title])

  // By hand: the fragment of our addresses means other things (a step, an invitation).
  function skip(event: MouseEvent) {
    event.preventDefault()
    main.current?.focus()
  }

  const width = ['main', narrow && 'narrow', wide && 'wide'].filter(Boolean).join(' ')
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: it is a link to a place on this page. */}
      <a className="skip-link" href="#main" onClick={skip}>
        {t('page.skip')}
      </a>
      <header className="top">
        <span className="top-name">
          <img src={icon} alt="" />
          {name}
        </span>
        {actions}
      </header>
      <main ref={main} id="main" tabIndex={-1} className={width}>
        <div className="stack wide">
          <div className="row spread">
            <div className="stack tight">
              <h1 ref={heading} tabIndex={-1}>
                {title}
              </h1>
              {subtitle && <p className="soft">{subtitle}</p>}
            </div>
            {beside}
          </div>
          {children}
        </div>
      </main>
    </>
  )
}
