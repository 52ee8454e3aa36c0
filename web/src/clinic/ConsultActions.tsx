import type { Appointment } from '../api/types'
import { Button } from '../design/Button'
import { Icon } from '../design/Icon'
import { plural, t } from '../i18n/text'
import { Link } from '../Link'
import { HoldVisit } from './HoldVisit'
import { hasRole, useStaff } from './staff'
import { stageOf } from './useDay'

interface Props {
  appointment: Appointment
  board: string
  waiting: number
  onEnd: () => void
  reload: () => Promise<void>
}

/** Back to the board, a pause, the end. */
export function ConsultActions({ appointment, board, waiting, onEnd, reload }: Props) {
  const { session } = useStaff()
  const stage = stageOf(appointment)
  const begun = stage === 'inCall' || stage === 'onHold'
  return (
    <div className="consult-actions">
      <Link className="button" href={board}>
        <Icon name="back" />
        {waiting > 0 ? plural('consult.back.waiting', waiting) : t('consult.back')}
      </Link>
      {stage === 'inCall' && hasRole(session, 'doctor', 'nurse') && (
        <HoldVisit appointment={appointment} onHeld={reload} />
      )}
      {begun && hasRole(session, 'doctor') && (
        <Button look="danger" onClick={onEnd}>
          {t('consult.end')}
        </Button>
      )}
    </div>
  )
}
