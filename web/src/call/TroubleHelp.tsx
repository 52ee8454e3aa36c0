import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import type { Opened, Trouble } from './devices'

/** What is wrong with the devices and what the person can do about it, in the order they would do it. */
export function TroubleHelp({ opened }: { opened: Opened }) {
  const { cameraTrouble: camera, microphoneTrouble: microphone } = opened
  if (!camera && !microphone) return null
  if (camera === microphone && camera) {
    return (
      <Notice tone="warm" title={t(`trouble.both.${camera}`)}>
        <Steps trouble={camera} />
      </Notice>
    )
  }
  return (
    <>
      {microphone && (
        <Notice tone="warm" title={t(`trouble.microphone.${microphone}`)}>
          <Steps trouble={microphone} />
        </Notice>
      )}
      {camera && (
        <Notice tone="warm" title={t(`trouble.camera.${camera}`)}>
          <Steps trouble={camera} />
          {!microphone && <p>{t('trouble.camera.without')}</p>}
        </Notice>
      )}
    </>
  )
}

function Steps({ trouble }: { trouble: Trouble }) {
  if (trouble === 'denied') {
    return (
      <ol>
        <li>{t('trouble.denied.1')}</li>
        <li>{t('trouble.denied.2')}</li>
        <li>{t('trouble.denied.3')}</li>
      </ol>
    )
  }
  return <p>{t(`trouble.${trouble}.help`)}</p>
}
