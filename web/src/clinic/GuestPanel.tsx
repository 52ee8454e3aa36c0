import { useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Guest, Guests } from '../api/types'
import type { Loaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { t } from '../i18n/text'
import { InviteGuest } from './InviteGuest'

interface Props {
  appointment: string
  guests: Loaded<Guests>
}

/** Whom the clinician lets in besides the patient: invite, admit, take out. */
export function GuestPanel({ appointment, guests }: Props) {
  const [inviting, setInviting] = useState(false)
  return (
    <section className="card stack close" aria-labelledby="guests-title">
      <div className="row">
        <h2 id="guests-title">{t('guests.title')}</h2>
        <Button onClick={() => setInviting(true)}>{t('guests.invite')}</Button>
      </div>
      {guests.data && guests.data.guests.length > 0 && (
        <ul className="guests">
          {guests.data.guests.map((guest) => (
            <GuestRow key={guest.id} guest={guest} reload={guests.reload} />
          ))}
        </ul>
      )}
      {inviting && (
        <InviteGuest
          appointment={appointment}
          onInvited={() => void guests.reload()}
          onClose={() => setInviting(false)}
        />
      )}
    </section>
  )
}

function GuestRow({ guest, reload }: { guest: Guest; reload: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState(false)
  const name = t(`people.${guest.role}`)

  async function change(verb: 'admit' | 'remove') {
    setBusy(true)
    setFailed(false)
    try {
      const params = { path: { clinic, id: guest.id } }
      await body(api.POST(`/c/{clinic}/scheduling/guests/{id}/${verb}`, { params, body: {} }))
    } catch {
      setFailed(true)
    } finally {
      setBusy(false)
      await reload()
    }
  }

  return (
    <li className="row">
      <span role="status">
        {name} · {t(`guests.${guest.status}`)}
      </span>
      {guest.status === 'waiting' && (
        <Button
          look="primary"
          busy={busy}
          onClick={() => void change('admit')}
          aria-label={t('guests.admit.name', { name })}
        >
          {t('visit.admit')}
        </Button>
      )}
      <Button
        look="plain"
        busy={busy}
        onClick={() => void change('remove')}
        aria-label={t('guests.remove.name', { name })}
      >
        {t('guests.remove')}
      </Button>
      {failed && (
        <span className="field-error" role="alert">
          {t('visit.admit.failed')}
        </span>
      )}
    </li>
  )
}
