import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [react()],
  // Away from UTC, where mistakes with zones would hide.
  test: { env: { TZ: 'America/Los_Angeles' } },
  build: {
    target: ['chrome123', 'edge123', 'firefox120', 'safari17.5'],
    // The pages' content security policy allows neither inline scripts nor `data:` URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { pluginTimings: false } },
    // The call (media SDK) is one lazy chunk of about 600 kB: loaded by those who have a visit, never by those who book.
    chunkSizeWarningLimit: 700,
  },
})
