import { t } from '../i18n/text'
import { useMicrophoneLevel } from './useMicrophoneLevel'

const BARS = Array.from({ length: 14 }, (_, index) => (index + 1) / 14)

/** Shows that sound arrives; says it once in words, for those who do not see the bars. */
export function MicrophoneMeter({ stream }: { stream: MediaStream | null }) {
  const { level, heard } = useMicrophoneLevel(stream)
  return (
    <div className="meter">
      <div className="meter-bars" aria-hidden="true">
        {BARS.map((threshold) => (
          <span key={threshold} className={level >= threshold ? 'on' : undefined} />
        ))}
      </div>
      <p className={heard ? 'meter-heard' : 'soft'} role="status">
        {heard ? t('devices.heard') : t('devices.speak')}
      </p>
    </div>
  )
}
