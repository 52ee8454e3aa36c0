import { lazy, Suspense, useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { DeviceChoice } from '../call/devices'
import type { CallPerson } from '../call/people'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Page } from '../design/Page'
import { t } from '../i18n/text'

const CallRoom = lazy(() => import('../call/CallRoom').then((m) => ({ default: m.CallRoom })))

interface Props {
  clinicName: string
  practitioner: string
  people: readonly CallPerson[]
  choice: DeviceChoice
  reload: () => Promise<void>
}

/** The call of somebody who came by a link, patient or guest; they may leave it and return while it lasts. */
export function VisitCall({ clinicName, practitioner, people, choice, reload }: Props) {
  const { api, clinic } = useClinicApi()
  const [left, setLeft] = useState(false)
  const join = useCallback(
    (nearest?: string[]) =>
      body(
        api.POST('/c/{clinic}/tokens/join', {
          params: { path: { clinic } },
          body: nearest ? { nearest } : {},
        }),
      ),
    [api, clinic],
  )
  return (
    <Page
      name={clinicName}
      title={left ? t('left.title') : t('call.title', { name: practitioner })}
      wide={!left}
    >
      {left ? (
        <>
          <p>{t('left.body')}</p>
          <Button look="primary" onClick={() => setLeft(false)}>
            {t('left.return')}
          </Button>
        </>
      ) : (
        <Suspense fallback={<Loading label={t('call.connecting')} />}>
          <CallRoom
            expected={{ role: 'clinician', name: practitioner }}
            people={people}
            onStranger={() => void reload()}
            join={join}
            choice={choice}
            onLeave={() => setLeft(true)}
            onRefused={() => void reload()}
          />
        </Suspense>
      )}
    </Page>
  )
}
