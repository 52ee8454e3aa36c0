import { type ReactNode, useState } from 'react'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import type { Line } from './quality'

const PROBLEMS = ['no-sound', 'no-picture', 'poor-sound', 'poor-picture', 'other'] as const

/** What a person may say of a call: nothing in their own words, which could be anything. */
export type CallReport = (typeof PROBLEMS)[number] | 'phone-instead'

/** What goes to the clinic: ids and numbers. */
export interface Reported {
  kind: CallReport
  /** The media node that this person is at. */
  node?: string
  lines: Line[]
}

interface Props {
  report: (kind: CallReport) => Promise<void>
  /** For staff: how the call is doing. */
  children?: ReactNode
  /** For the patient, whom the clinic can call. */
  mayAskForPhone: boolean
}

/** Says that something is wrong with the call, or that a phone would be better. */
export function CallHelp({ report, mayAskForPhone, children }: Props) {
  const [outcome, setOutcome] = useState<'kept' | 'phoneKept' | 'notKept' | null>(null)

  async function say(kind: CallReport) {
    try {
      await report(kind)
      setOutcome(kind === 'phone-instead' ? 'phoneKept' : 'kept')
    } catch {
      setOutcome('notKept')
    }
  }

  return (
    <section className="call-help" aria-label={t('call.help.title')}>
      {outcome && <Notice tone={outcome === 'notKept' ? 'bad' : 'good'} title={t(`call.help.${outcome}`)} />}
      <p>{t('call.help.title')}</p>
      <div className="row">
        {PROBLEMS.map((kind) => (
          <Button key={kind} onClick={() => void say(kind)}>
            {t(`call.help.${kind}`)}
          </Button>
        ))}
        {mayAskForPhone && (
          <Button look="primary" onClick={() => void say('phone-instead')}>
            {t('call.help.phone')}
          </Button>
        )}
      </div>
      {children}
    </section>
  )
}
