import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import type { Opened } from './devices'
import { TroubleSteps } from './TroubleSteps'

/** What is wrong with the devices and what the person can do about it, in the order they would do it. */
export function TroubleHelp({ opened }: { opened: Opened }) {
  const { cameraTrouble: camera, microphoneTrouble: microphone } = opened
  if (!camera && !microphone) return null
  if (camera === microphone && camera) {
    return (
      <Notice tone="warm" title={t(`trouble.both.${camera}`)}>
        <TroubleSteps trouble={camera} />
      </Notice>
    )
  }
  return (
    <>
      {microphone && (
        <Notice tone="warm" title={t(`trouble.microphone.${microphone}`)}>
          <TroubleSteps trouble={microphone} />
        </Notice>
      )}
      {camera && (
        <Notice tone="warm" title={t(`trouble.camera.${camera}`)}>
          <TroubleSteps trouble={camera} />
          {!microphone && <p>{t('trouble.camera.without')}</p>}
        </Notice>
      )}
    </>
  )
}
