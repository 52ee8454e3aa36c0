import { useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import { useLoaded } from '../api/useLoaded'
import type { DeviceChoice } from '../call/devices'
import { useWakeLock } from '../call/useWakeLock'
import { AgreedNotice } from '../consent/AgreedNotice'
import { type ConsentText, useConsent } from '../consent/useConsent'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { useIntake } from '../intake/useIntake'
import { LocationChoice } from '../times/LocationChoice'
import { placesOf } from '../times/useHold'
import { BeforeVisit } from './BeforeVisit'
import { ChangeVisit } from './ChangeVisit'
import { keepChoice, keptChoice } from './invitation'
import { VisitCall } from './VisitCall'
import { VisitContact } from './VisitContact'
import { VisitOver } from './VisitOver'
import { WaitingRoom } from './WaitingRoom'

const POLL_MS = 2000

/** One patient's way through a visit: check the devices, wait, talk, done. The clinic's answer says where they are. */
export function VisitRoom({ onSessionLost }: { onSessionLost: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const [choice, setChoice] = useState<DeviceChoice | null>(() => keptChoice(clinic))
  const [arriving, setArriving] = useState(false)
  const [asked, setAsked] = useState<{ chosen: DeviceChoice; places: string[] } | null>(null)
  const [notLicensed, setNotLicensed] = useState(false)
  const [cancelled, setCancelled] = useState(false)
  const path = { params: { path: { clinic } } }
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/scheduling/visit', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data: visit, error, reload } = useLoaded(load, { everyMs: POLL_MS })
  const arrived = visit !== null && visit.appointment.status !== 'booked'
  const consent = useConsent(arrived)
  const intake = useIntake(visit?.appointment.id ?? null)
  useWakeLock(choice !== null)

  const lost = hasStatus(error, 401)
  useEffect(() => {
    if (lost) void onSessionLost()
  }, [lost, onSessionLost])

  // Taken back, or another version is in force: to be agreed to once more.
  const mustAgree = consent.data?.missing === true
  async function arrive(chosen: DeviceChoice, agreed: readonly ConsentText[], location?: string) {
    setArriving(true)
    setAsked(null)
    setNotLicensed(false)
    try {
      await intake.keeper.flush()
      if (agreed.length > 0) await consent.agree(agreed)
      const where = location ? { location } : {}
      await body(api.POST('/c/{clinic}/scheduling/visit/arrive', { ...path, body: where }))
      keepChoice(clinic, chosen)
      setChoice(chosen)
    } catch (error) {
      if (hasSlug(error, 'location-required')) setAsked({ chosen, places: placesOf(error) })
      setNotLicensed(hasSlug(error, 'not-licensed'))
      // Else the poll below tells why, and the button is there to press again.
    } finally {
      setArriving(false)
      await reload()
    }
  }

  if (cancelled || hasStatus(error, 410)) return <VisitOver cancelled={cancelled} known />
  const name = visit?.clinic.name ?? t('product.name')
  if (!visit) {
    return (
      <Page name={name} title={t('visit.title')} narrow>
        {error ? <Notice tone="bad" title={t('network.retrying')} /> : <Loading label={t('link.opening')} />}
      </Page>
    )
  }
  const offline = error !== null && <Notice tone="warm" title={t('network.retrying')} />
  if (!choice || !arrived || mustAgree) {
    return (
      <Page name={name} title={t('visit.title')}>
        {offline}
        {notLicensed && <Notice tone="bad" title={t('waiting.notLicensed')} />}
        {asked && (
          <LocationChoice
            now
            places={asked.places}
            onChoose={(place) => void arrive(asked.chosen, [], place)}
          />
        )}
        <BeforeVisit
          visit={visit}
          intake={intake}
          consent={consent}
          joining={arriving}
          onReady={(chosen, agreed) => void arrive(chosen, agreed)}
        />
        <VisitContact />
        <ChangeVisit visit={visit} reload={reload} onCancelled={() => setCancelled(true)} />
      </Page>
    )
  }
  if (!visit.admitted) {
    return (
      <Page name={name} title={t('waiting.title')} narrow>
        {offline}
        <WaitingRoom visit={visit} camera={choice.camera} />
        <AgreedNotice consent={consent} />
      </Page>
    )
  }
  return (
    <VisitCall
      clinicName={name}
      practitioner={visit.practitioner.name}
      // A host of the release before says nothing of them.
      people={visit.people ?? []}
      visit={`${clinic}/${visit.appointment.id}/patient`}
      choice={choice}
      mayAskForPhone
      reload={async () => void (await Promise.all([reload(), consent.reload()]))}
    />
  )
}
