import { lazy, Suspense, useCallback, useMemo, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import type { Appointment } from '../api/types'
import type { Reported } from '../call/CallHelp'
import type { CallDoor } from '../call/encryption/door'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { type Day, dayOf, timeText } from '../i18n/time'
import { Link } from '../Link'
import { navigate } from '../routing'
import { LaunchApps } from './apps/LaunchApps'
import { ConsentPanel } from './ConsentPanel'
import { ConsultActions } from './ConsultActions'
import { EmergencyAccess } from './EmergencyAccess'
import { EndVisit } from './EndVisit'
import { GuestPanel } from './GuestPanel'
import { IntakePanel } from './IntakePanel'
import { InterpreterRow } from './InterpreterNeed'
import { PlanRecall } from './messages/PlanRecall'
import { NotePanel } from './NotePanel'
import { placeText } from './placeText'
import { StaffPage } from './StaffPage'
import { hasRole, useStaff } from './staff'
import { stageOf } from './useDay'
import { useGuests } from './useGuests'
import { useNote } from './useNote'
import { VisitAction } from './VisitAction'

const CallRoom = lazy(() => import('../call/CallRoom').then((m) => ({ default: m.CallRoom })))

/** Camera and microphone as the browser has them: the clinician checked them with the first call of the day. */
const CLINICIAN = { camera: true }

interface Props {
  day: Day
  appointment: Appointment
  waiting: number
  reload: () => Promise<void>
}

/** The call with the note beside it; before and after, the note alone. */
export function Consult({ day, appointment, waiting, reload }: Props) {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const note = useNote(appointment.encounter)
  const [ending, setEnding] = useState(false)
  const [refused, setRefused] = useState<string | null>(null)
  const [noConsent, setNoConsent] = useState(false)
  // Another try at the call.
  const [attempt, setAttempt] = useState(0)
  const zone = session.clinic.timeZone
  const board = day === dayOf(Date.now(), zone) ? `/clinic/${clinic}` : `/clinic/${clinic}/day/${day}`
  const { id, patient, start, end, phoneInstead } = appointment
  const stage = stageOf(appointment)
  const doctor = hasRole(session, 'doctor')
  const treats = hasRole(session, 'doctor', 'nurse')
  const open = ['booked', 'waiting', 'inCall', 'onHold'].includes(stage)
  const guests = useGuests(id, open && treats)

  const door = useMemo<CallDoor>(() => {
    const path = { clinic }
    return {
      join: (wish) =>
        body(api.POST('/c/{clinic}/tokens/join', { params: { path }, body: { appointment: id, ...wish } })),
      membership: async () => {
        const query = { appointment: id }
        return (await body(api.GET('/c/{clinic}/tokens/membership', { params: { path, query } }))).membership
      },
      leave: () =>
        body(api.POST('/c/{clinic}/tokens/leave', { params: { path }, body: { appointment: id } })),
    }
  }, [api, clinic, id])

  const report = useCallback(
    async (said: Reported) => {
      const path = { clinic, id }
      await body(
        api.POST('/c/{clinic}/scheduling/appointments/{id}/reports', { params: { path }, body: said }),
      )
    },
    [api, clinic, id],
  )

  return (
    <StaffPage
      title={patient.name}
      subtitle={`${timeText(start, zone)}–${timeText(end, zone)} · ${placeText(appointment)}`}
      wide={stage === 'inCall'}
      beside={
        <ConsultActions
          appointment={appointment}
          board={board}
          waiting={waiting}
          onEnd={() => setEnding(true)}
          reload={reload}
        />
      }
    >
      {stage === 'inCall' && phoneInstead && (
        <Notice
          tone="warm"
          title={t('consult.phoneInstead', { name: patient.name, time: timeText(phoneInstead, zone) })}
        />
      )}
      {refused && <Notice tone="bad" title={refused} />}
      <div className={stage === 'inCall' ? 'consult' : 'stack wide'}>
        {stage === 'inCall' ? (
          <Suspense fallback={<Loading label={t('call.connecting')} />}>
            <CallRoom
              key={attempt}
              expected={{ role: 'patient', name: patient.name }}
              people={guests.data?.people ?? []}
              onStranger={() => void guests.reload()}
              visit={`${clinic}/${id}/${session.user.id}`}
              door={door}
              choice={CLINICIAN}
              report={report}
              isStaff
              onLeave={() => navigate(board)}
              onRefused={(error) => {
                const lacksConsent = hasSlug(error, 'consent-required')
                setNoConsent(lacksConsent)
                if (!lacksConsent)
                  setRefused(hasStatus(error, 410) ? t('consult.over') : t('consult.refused'))
              }}
            />
          </Suspense>
        ) : (
          <div className="row">
            <p>{t(`consult.${stage}`)}</p>
            {(stage === 'waiting' || stage === 'onHold') && (
              <VisitAction appointment={appointment} day={day} />
            )}
          </div>
        )}
        <div className="stack">
          {open && (
            <>
              <InterpreterRow appointment={appointment} onChanged={() => void reload()} />
              <GuestPanel appointment={id} guests={guests} />
            </>
          )}
          {open && treats && !note.refused && (
            <ConsentPanel
              encounter={appointment.encounter}
              zone={zone}
              refused={noConsent}
              onGiven={() => {
                setNoConsent(false)
                setAttempt((before) => before + 1)
              }}
            />
          )}
          {treats && !note.refused && <IntakePanel encounter={appointment.encounter} zone={zone} />}
          {note.refused ? (
            <EmergencyAccess encounter={appointment.encounter} onOpened={() => note.keeper.reload()} />
          ) : (
            <NotePanel note={note} readOnly={!doctor} zone={zone} />
          )}
          {treats && (
            <>
              <PlanRecall appointmentId={id} />
              <p>
                <Link href={`/clinic/${clinic}/conversations/${id}`}>{t('recalls.write')}</Link>
              </p>
              <LaunchApps appointment={id} />
            </>
          )}
        </div>
      </div>
      {ending && (
        <EndVisit
          appointment={appointment}
          note={note}
          onClose={() => setEnding(false)}
          onEnded={() => navigate(board)}
        />
      )}
    </StaffPage>
  )
}
