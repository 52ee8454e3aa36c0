import { lazy, Suspense, useCallback, useMemo, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Reported } from '../call/CallHelp'
import type { DeviceChoice } from '../call/devices'
import type { CallDoor } from '../call/encryption/door'
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
  /** Which visit, and whose: this browser keeps its keys under that name. */
  visit: string
  choice: DeviceChoice
  mayAskForPhone?: boolean
  reload: () => Promise<void>
}

/** The call of somebody who came by a link, patient or guest; they may leave it and return while it lasts. */
export function VisitCall({ clinicName, practitioner, people, reload, ...props }: Props) {
  const { api, clinic } = useClinicApi()
  const [left, setLeft] = useState(false)
  const door = useMemo<CallDoor>(() => {
    const clinicPath = { params: { path: { clinic } } }
    return {
      join: (wish) => body(api.POST('/c/{clinic}/tokens/join', { ...clinicPath, body: wish })),
      membership: async () => (await body(api.GET('/c/{clinic}/tokens/membership', clinicPath))).membership,
      leave: () => body(api.POST('/c/{clinic}/tokens/leave', { ...clinicPath, body: {} })),
    }
  }, [api, clinic])
  const report = useCallback(
    async (said: Reported) => {
      await body(
        api.POST('/c/{clinic}/scheduling/visit/reports', { params: { path: { clinic } }, body: said }),
      )
    },
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
            {...props}
            expected={{ role: 'clinician', name: practitioner }}
            people={people}
            onStranger={() => void reload()}
            door={door}
            report={report}
            onLeave={() => setLeft(true)}
            onRefused={() => void reload()}
          />
        </Suspense>
      )}
    </Page>
  )
}
