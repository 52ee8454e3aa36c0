/** Two soft notes, so that a person knows that they will hear the other side. */
export async function playTestTone(): Promise<void> {
  const context = new AudioContext()
  await context.resume()
  const start = context.currentTime + 0.05
  for (const [index, hertz] of [523.25, 659.25].entries()) {
    const at = start + index * 0.35
    const oscillator = context.createOscillator()
    const gain = context.createGain()
    oscillator.frequency.value = hertz
    gain.gain.setValueAtTime(0, at)
    gain.gain.linearRampToValueAtTime(0.2, at + 0.03)
    gain.gain.exponentialRampToValueAtTime(0.001, at + 0.6)
    oscillator.connect(gain).connect(context.destination)
    oscillator.start(at)
    oscillator.stop(at + 0.65)
    if (index === 1) oscillator.onended = () => void context.close()
  }
}
