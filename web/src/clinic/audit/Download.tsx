import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { saveAs } from '../../design/saveAs'
import { t } from '../../i18n/text'
import { type Filters, queryOf } from './filters'
import { nextOf } from './nextOf'

const FORMATS = ['csv', 'ndjson', 'pdf', 'fhir'] as const
type Format = (typeof FORMATS)[number]

/** More than these parts of 5,000 events are for `locum audit list`. */
const MAX_PARTS = 200

/** All that matches, as one file; documents to print and FHIR bundles come one part each. */
export function Download({ filters, zone }: { filters: Filters; zone: string }) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState<Format | null>(null)
  const [failed, setFailed] = useState(false)

  /** The parts of a file, one after the other. */
  async function* parts(format: Format) {
    let after: string | undefined
    for (let number = 1; number <= MAX_PARTS; number++) {
      const query = { ...queryOf(filters, zone), format, ...(after && { after }) }
      const asking = api.GET('/c/{clinic}/audit/export', {
        params: { path: { clinic }, query },
        parseAs: 'blob',
      })
      const { data, response } = await asking
      if (!response.ok || !data) throw new Error(`status ${response.status}`)
      yield data as unknown as Blob
      after = nextOf(response.headers.get('link'))
      if (!after) return
    }
  }

  async function save(format: Format) {
    const found: Blob[] = []
    for await (const part of parts(format)) found.push(part)
    if (format === 'csv' || format === 'ndjson') {
      saveAs(new Blob(found, { type: found[0]?.type ?? '' }), `audit.${format}`)
      return
    }
    for (const [place, part] of found.entries()) {
      saveAs(part, place === 0 ? `audit.${ending(format)}` : `audit-${place + 1}.${ending(format)}`)
    }
  }

  async function download(format: Format) {
    if (busy) return
    setBusy(format)
    setFailed(false)
    await save(format).catch(() => setFailed(true))
    setBusy(null)
  }

  return (
    <div className="row">
      {failed && <Notice tone="bad" title={t('audit.download.failed')} />}
      {FORMATS.map((format) => (
        <Button key={format} busy={busy === format} onClick={() => void download(format)}>
          {t(`audit.download.${format}`)}
        </Button>
      ))}
    </div>
  )
}

function ending(format: Format): string {
  return format === 'fhir' ? 'json' : format
}
