const SHAPES = {
  microphone: 'M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM6 11a6 6 0 0 0 12 0M12 17v4M9 21h6',
  microphoneOff:
    'M15 9.5V6a3 3 0 0 0-5.8-1.1M9 9v2a3 3 0 0 0 4.5 2.6M6 11a6 6 0 0 0 9.4 5M18 11a6 6 0 0 1-.4 2.1M12 17v4M9 21h6M4 4l16 16',
  camera: 'M4 7h9a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2zM15 11l6-3v8l-6-3z',
  cameraOff: 'M10 7h3a2 2 0 0 1 2 2v2l6-3v8l-3-1.5M13.5 17H4a2 2 0 0 1-2-2V9a2 2 0 0 1 2-2M3 3l18 18',
  sound: 'M4 9v6h4l5 4V5L8 9zM16.5 9a4.5 4.5 0 0 1 0 6M19 6.5a8 8 0 0 1 0 11',
  help: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.5 9.5a2.5 2.5 0 1 1 3.6 2.2c-.8.5-1.1.9-1.1 1.8M12 16.8v.2',
  leave: 'M3 14.5c5-5 13-5 18 0l-2.2 2.6-4-1.6V13a10 10 0 0 0-5.6 0v2.5l-4 1.6z',
  settings: 'M4 7h9M17 7h3M15 5v4M4 12h3M11 12h9M9 10v4M4 17h11M19 17h1M17 15v4',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3M12 14.5v2',
  lockOpen: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 6.8-1.2M12 14.5v2',
  screen: 'M3 5h18v11H3zM9 20h6M12 16v4M12 13V8M9.5 10L12 7.5 14.5 10',
  chat: 'M4 5h16v11H10l-4 4v-4H4zM8 9h8M8 12h5',
  back: 'M15 5l-7 7 7 7',
  next: 'M9 5l7 7-7 7',
} as const

export type IconName = keyof typeof SHAPES

/** A drawing beside words: it says nothing by itself. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg
      className="icon"
      viewBox="0 0 24 24"
      width="22"
      height="22"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.9"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={SHAPES[name]} />
    </svg>
  )
}
