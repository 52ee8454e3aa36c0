import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import { useLoaded } from '../api/useLoaded'
import { DeviceCheck } from '../call/DeviceCheck'
import type { DeviceChoice } from '../call/devices'
import { useWakeLock } from '../call/useWakeLock'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { readerZone, timeText } from '../i18n/time'
import { keepChoice, keptChoice } from './invitation'
import { OpenInBrowser } from './OpenInBrowser'
import { VisitCall } from './VisitCall'
import { VisitOver } from './VisitOver'

const POLL_MS = 2000

/** One guest's way through a visit: check the devices, wait until the clinician lets them in, talk, done. */
export function GuestRoom({ onUseHere }: { onUseHere: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const [choice, setChoice] = useState<DeviceChoice | null>(() => keptChoice(clinic))
  const [arriving, setArriving] = useState(false)
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/scheduling/guest-visit', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data: visit, error, reload } = useLoaded(load, { everyMs: POLL_MS })
  useWakeLock(choice !== null)

  async function arrive(chosen: DeviceChoice) {
    setArriving(true)
    try {
      const params = { path: { clinic } }
      await body(api.POST('/c/{clinic}/scheduling/guest-visit/arrive', { params, body: {} }))
      keepChoice(clinic, chosen)
      setChoice(chosen)
    } catch {
      // The poll below tells why, and the button is there to press again.
    } finally {
      setArriving(false)
      await reload()
    }
  }

  if (hasStatus(error, 410)) return <VisitOver withdrawn={hasSlug(error, 'link-withdrawn')} />
  const name = visit?.clinic.name ?? t('product.name')
  if (hasStatus(error, 401)) {
    return (
      <Page name={name} title={t('guest.elsewhere')} narrow>
        <p>{t('guest.elsewhere.help')}</p>
        <Button look="primary" onClick={() => void onUseHere()}>
          {t('guest.elsewhere.here')}
        </Button>
      </Page>
    )
  }
  if (!visit) {
    return (
      <Page name={name} title={t('visit.title')} narrow>
        {error ? <Notice tone="bad" title={t('network.retrying')} /> : <Loading label={t('link.opening')} />}
      </Page>
    )
  }
  const { practitioner, start } = visit
  const offline = error !== null && <Notice tone="warm" title={t('network.retrying')} />
  if (!choice || !visit.arrived) {
    return (
      <Page name={name} title={t('guest.title', { name: practitioner.name })}>
        {offline}
        <OpenInBrowser />
        <p>{t('guest.body', { role: t(`people.${visit.role}`), time: timeText(start, readerZone()) })}</p>
        <section className="stack">
          <h2>{t('devices.title')}</h2>
          <DeviceCheck joining={arriving} onReady={(chosen) => void arrive(chosen)} />
        </section>
      </Page>
    )
  }
  if (!visit.admitted) {
    return (
      <Page name={name} title={t('waiting.title')} narrow>
        {offline}
        <section className="card waiting-room">
          <span className="breath" aria-hidden="true" />
          <p className="waiting-place" role="status">
            {t('guest.waiting')}
          </p>
          <p>{t('waiting.body', { name: practitioner.name })}</p>
          <p className="soft">{choice.camera ? t('waiting.camera') : t('waiting.audio')}</p>
        </section>
      </Page>
    )
  }
  return (
    <VisitCall
      clinicName={name}
      practitioner={practitioner.name}
      people={visit.people}
      visit={`${clinic}/${visit.id}`}
      choice={choice}
      reload={reload}
    />
  )
}
