import type { AuditEvent } from '../../api/types'
import { Button } from '../../design/Button'
import { t } from '../../i18n/text'
import { instantText } from '../../i18n/time'

interface Props {
  events: readonly AuditEvent[]
  zone: string
  onUser: (id: string, name: string) => void
  onPatient: (id: string, name: string) => void
}

/** Scrolls by itself where it is wider than the page, also with the keyboard. */
export function AuditTable({ events, zone, onUser, onPatient }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard (WCAG 2.1.1).
    <section className="table-scroll" aria-label={t('audit.title')} tabIndex={0}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">{t('audit.sort.recorded')}</th>
            <th scope="col">{t('audit.sort.user')}</th>
            <th scope="col">{t('audit.sort.action')}</th>
            <th scope="col">{t('audit.sort.patient')}</th>
            <th scope="col">{t('audit.on')}</th>
            <th scope="col">{t('audit.sort.outcome')}</th>
            <th scope="col">{t('audit.where')}</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={event.id}>
              <td>{instantText(event.recorded, zone)}</td>
              <td>
                <Who event={event} onUser={onUser} />
              </td>
              <td>
                {event.code}
                {event.purpose === 'BTG' && <span className="chip warm">{t('audit.emergency')}</span>}
              </td>
              <td>
                {event.patient && (
                  <Button
                    look="plain"
                    onClick={() =>
                      event.patient && onPatient(event.patient.id, event.patient.name ?? event.patient.id)
                    }
                  >
                    {event.patient.name ?? event.patient.id}
                  </Button>
                )}
              </td>
              <td className="small">{changed(event)}</td>
              <td>
                <span className={event.outcome < 400 ? 'chip good' : 'chip warm'}>
                  {t(event.outcome < 400 ? 'audit.outcome.success' : 'audit.outcome.failure')}
                </span>
              </td>
              <td className="small soft">{event.region}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

function Who({ event, onUser }: { event: AuditEvent; onUser: Props['onUser'] }) {
  const { type, id, name } = event.agent
  if (!id || !name) return <>{t(`audit.agent.${kindOf(type)}`)}</>
  return (
    <Button look="plain" onClick={() => onUser(id, name)}>
      {name}
    </Button>
  )
}

const KINDS = [
  'staff',
  'visitor',
  'guest',
  'patient',
  'proxy',
  'operator',
  'node',
  'anonymous',
  'signing-in',
] as const

function kindOf(type: string): (typeof KINDS)[number] | 'other' {
  return KINDS.find((kind) => kind === type) ?? 'other'
}

function changed({ entity, old, new: now }: AuditEvent): string {
  const what = entity?.name ?? entity?.type ?? ''
  if (!old && !now) return what
  return `${what}: ${old ?? '–'} → ${now ?? '–'}`
}
