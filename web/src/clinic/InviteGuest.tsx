import { useRef, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug } from '../api/problem'
import type { Guest } from '../api/types'
import { Button } from '../design/Button'
import { Dialog } from '../design/Dialog'
import { Field } from '../design/Field'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

const ROLES: readonly Guest['role'][] = ['interpreter', 'family', 'other']

interface Props {
  appointment: string
  onInvited: () => void
  onClose: () => void
}

/** Asks what the guest is, then shows the link: this once, for only its hash is kept. */
export function InviteGuest({ appointment, onInvited, onClose }: Props) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState(false)
  const [link, setLink] = useState<string | null>(null)
  const [failure, setFailure] = useState<'full' | 'failed' | null>(null)

  async function invite(role: Guest['role']) {
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic, id: appointment } }
      const path = '/c/{clinic}/scheduling/appointments/{id}/guests'
      const invited = await body(api.POST(path, { params, body: { role } }))
      setLink(invited.link)
      onInvited()
    } catch (error) {
      setFailure(hasSlug(error, 'too-many-guests') ? 'full' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog title={t('guests.invite')} onClose={onClose}>
      {link ? (
        <LinkToCopy link={link} />
      ) : (
        <>
          <p>{t('invite.who')}</p>
          <div className="row">
            {ROLES.map((role) => (
              <Button key={role} busy={busy} onClick={() => void invite(role)}>
                {t(`people.${role}`)}
              </Button>
            ))}
          </div>
        </>
      )}
      {failure && <Notice tone="bad" title={t(`invite.failed.${failure}`)} />}
      <div className="row">
        <Button look={link ? 'primary' : 'plain'} onClick={onClose}>
          {link ? t('invite.done') : t('invite.cancel')}
        </Button>
      </div>
    </Dialog>
  )
}

function LinkToCopy({ link }: { link: string }) {
  const [copied, setCopied] = useState(false)
  const place = useRef<HTMLDivElement>(null)

  async function copy() {
    try {
      await navigator.clipboard.writeText(link)
      setCopied(true)
    } catch {
      // A browser that does not let a page copy lets the person do it.
      place.current?.querySelector('input')?.select()
    }
  }

  return (
    <div className="stack close" ref={place}>
      <p>{t('invite.give')}</p>
      <Field label={t('invite.link')} value={link} readOnly />
      <Button onClick={() => void copy()}>{copied ? t('invite.copied') : t('invite.copy')}</Button>
    </div>
  )
}
