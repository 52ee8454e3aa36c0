import type { Appointment } from '../api/types'
import { t } from '../i18n/text'
import { type Stage, stageOf } from './useDay'
import { waitingText } from './waitingText'

const TONES: Record<Stage, string> = {
  booked: 'chip',
  waiting: 'chip warm',
  inCall: 'chip accent',
  onHold: 'chip warm',
  done: 'chip good',
  cancelled: 'chip',
  noshow: 'chip',
}

export function StageChip({ appointment, now }: { appointment: Appointment; now: number }) {
  const stage = stageOf(appointment)
  const waited = stage === 'waiting' && appointment.arrivedAt
  return <span className={TONES[stage]}>{waited ? waitingText(waited, now) : t(`stage.${stage}`)}</span>
}
