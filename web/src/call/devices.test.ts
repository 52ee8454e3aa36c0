import { expect, test } from 'vitest'
import { openDevices } from './devices'

const both = { camera: true }

/** A machine on which asking for these kinds fails with that error. */
function machine(fails: { audio?: string; video?: string }) {
  const asked: string[] = []
  const ask = async ({ audio, video }: MediaStreamConstraints) => {
    asked.push([audio && 'audio', video && 'video'].filter(Boolean).join('+'))
    const name = (video && fails.video) || (audio && fails.audio)
    if (name) throw Object.assign(new Error(name), { name })
    return { kinds: asked.at(-1) } as unknown as MediaStream
  }
  return { ask, asked }
}

test('both devices are asked for in one prompt', async () => {
  const { ask, asked } = machine({})
  expect(await openDevices(both, ask)).toMatchObject({ cameraTrouble: null, microphoneTrouble: null })
  expect(asked).toEqual(['audio+video'])
})

test('no camera: the microphone still opens and the reason is the camera’s', async () => {
  const { ask } = machine({ video: 'NotFoundError' })
  const opened = await openDevices(both, ask)
  expect(opened).toMatchObject({ cameraTrouble: 'missing', microphoneTrouble: null })
  expect(opened.stream).not.toBeNull()
})

test('no microphone: the camera still opens', async () => {
  const { ask } = machine({ audio: 'NotReadableError' })
  expect(await openDevices(both, ask)).toMatchObject({ cameraTrouble: null, microphoneTrouble: 'busy' })
})

test('refused: both say so, and the camera is not asked for again by itself', async () => {
  const { ask, asked } = machine({ audio: 'NotAllowedError', video: 'NotAllowedError' })
  const opened = await openDevices(both, ask)
  expect(opened).toEqual({ stream: null, cameraTrouble: 'denied', microphoneTrouble: 'denied' })
  expect(asked).toEqual(['audio+video', 'audio'])
})

test('audio only never touches the camera', async () => {
  const { ask, asked } = machine({})
  await openDevices({ camera: false }, ask)
  expect(asked).toEqual(['audio'])
})

test('a browser without media devices is told apart from a refusal', async () => {
  expect(await openDevices(both, undefined)).toMatchObject({ microphoneTrouble: 'unsupported' })
})
