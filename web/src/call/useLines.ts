import type { Room } from 'livekit-client'
import { useEffect, useRef, useState } from 'react'
import type { CallLine } from './encryption/CallLine'
import { type Line, LineMeter } from './quality'

const LINE_TOPIC = 'locum.line'
const MEASURE_EVERY_MS = 3_000
/** How far a person is from their node only their own browser knows: it says so to the others of the call. */
const SAY_EVERY = 4
const LONGEST_MS = 60_000

/** How everybody's sound and pictures travel, the own first. */
export function useLines(encryption: CallLine, room: Room): readonly Line[] {
  const [lines, setLines] = useState<readonly Line[]>([])
  const said = useRef(new Map<string, number>())

  useEffect(
    () =>
      encryption.listen(({ sender, topic, content }) => {
        const roundTripMs = topic === LINE_TOPIC ? readRoundTrip(content) : null
        if (roundTripMs !== null) said.current.set(sender, roundTripMs)
      }),
    [encryption],
  )

  useEffect(() => {
    const meter = new LineMeter(room)
    let round = 0
    const look = async () => {
      const [own, ...others] = await meter.measure()
      if (!own) return
      setLines([own, ...others.map((line) => withRoundTrip(line, said.current.get(line.participant)))])
      if (round++ % SAY_EVERY === 0 && own.roundTripMs !== undefined && others.length > 0) {
        const text = Uint8Array.from(new TextEncoder().encode(String(own.roundTripMs)))
        await encryption.send(room, LINE_TOPIC, text)
      }
    }
    // While a connection is made or mended there is nothing to measure, and nobody to tell.
    const timer = setInterval(() => void look().catch(() => undefined), MEASURE_EVERY_MS)
    return () => clearInterval(timer)
  }, [encryption, room])

  return lines
}

function withRoundTrip(line: Line, roundTripMs: number | undefined): Line {
  return roundTripMs === undefined ? line : { ...line, roundTripMs }
}

/** Milliseconds as somebody wrote them: anything may come. */
export function readRoundTrip(content: Uint8Array): number | null {
  const text = content.length <= 5 ? new TextDecoder().decode(content) : ''
  const ms = /^\d+$/.test(text) ? Number(text) : Number.NaN
  return ms <= LONGEST_MS ? ms : null
}
