import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Appointment, NewProxy } from '../api/types'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { ProxyList } from '../patient/proxies/ProxyList'

/** Front desk sees and changes who acts for the patient of a visit. */
export function PatientProxies({ appointment }: { appointment: Appointment }) {
  const [open, setOpen] = useState(false)
  const { name } = appointment.patient
  return (
    <>
      <Button aria-label={t('proxies.open.name', { name })} onClick={() => setOpen(true)}>
        {t('proxies.open')}
      </Button>
      {open && (
        <Dialog title={t('proxies.title.patient', { name })} onClose={() => setOpen(false)}>
          <Proxies id={appointment.id} />
          <Button look="plain" onClick={() => setOpen(false)}>
            {t('proxies.close')}
          </Button>
        </Dialog>
      )}
    </>
  )
}

function Proxies({ id }: { id: string }) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/appointments/{id}/proxies', { params: { path: { clinic, id } } })),
    [api, clinic, id],
  )
  const { data, error, reload } = useLoaded(load)

  async function invite(asked: NewProxy) {
    const params = { path: { clinic, id } }
    await body(api.POST('/c/{clinic}/auth/appointments/{id}/proxies', { params, body: asked }))
    await reload()
  }

  async function revoke(proxy: string) {
    const params = { path: { clinic, id: proxy } }
    await body(api.POST('/c/{clinic}/auth/appointments/proxies/{id}/revoke', { params, body: {} }))
    await reload()
  }

  if (!data) return error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />
  return <ProxyList proxies={data.proxies} onInvite={invite} onRevoke={revoke} />
}
