import { t } from '../i18n/text'
import type { Line } from './quality'

interface Props {
  lines: readonly Line[]
  nameOf: (participant: string) => string
}

/** How each person's sound and pictures travel, for whoever helps. */
export function CallLines({ lines, nameOf }: Props) {
  return (
    <details className="call-lines">
      <summary>{t('lines.title')}</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">{t('lines.person')}</th>
            <th scope="col">{t('lines.loss')}</th>
            <th scope="col">{t('lines.roundTrip')}</th>
            <th scope="col">{t('lines.sound')}</th>
            <th scope="col">{t('lines.picture')}</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line, place) => (
            <tr key={line.participant}>
              <th scope="row">{place === 0 ? t('lines.you') : nameOf(line.participant)}</th>
              <td>{shown(line.lossPermille, (loss) => t('lines.percent', { value: loss / 10 }))}</td>
              <td>{shown(line.roundTripMs, (value) => t('lines.ms', { value }))}</td>
              <td>{shown(line.soundKbps, (value) => t('lines.kbps', { value }))}</td>
              <td>{picture(line)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  )
}

function shown(value: number | undefined, text: (value: number) => string): string {
  return value === undefined ? t('lines.unknown') : text(value)
}

function picture({ width, height, pictureKbps }: Line): string {
  if (!width || !height) return t('lines.noPicture')
  const size = t('lines.size', { width, height })
  return pictureKbps === undefined ? size : `${size}, ${t('lines.kbps', { value: pictureKbps })}`
}
