import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import type { Day } from '../i18n/time'
import { Consult } from './Consult'
import { StaffPage } from './StaffPage'
import { useDay, waitingOf } from './useDay'

const POLL_MS = 4000

/** A visit from the clinician's side: the call and the note beside it; afterwards the note. */
export function ConsultPage({ day, appointmentId }: { day: Day; appointmentId: string }) {
  const { data, error, reload } = useDay(day, POLL_MS, true)
  const appointment = data?.appointments.find(({ id }) => id === appointmentId)
  if (appointment) {
    return (
      <Consult
        day={day}
        appointment={appointment}
        waiting={waitingOf(data?.appointments ?? []).length}
        reload={reload}
      />
    )
  }
  return (
    <StaffPage title={t('consult.title')}>
      {!data && error === null && <Loading />}
      {!data && error !== null && <Notice tone="warm" title={t('network.retrying')} />}
      {data && <Notice title={t('consult.unknown')} />}
    </StaffPage>
  )
}
