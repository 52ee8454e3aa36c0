/** What apps that open links inside themselves add to their browser's name. Most of them give no page a camera. */
const IN_APP =
  /\b(FBAN|FBAV|Instagram|Line\/|MicroMessenger|Snapchat|Twitter|Pinterest|LinkedInApp|BytedanceWebview|musical_ly|GSA\/)/

/** Whether a page is shown inside another app, by the name that its browser gives itself. */
export function isInApp(userAgent: string): boolean {
  if (IN_APP.test(userAgent)) return true
  // Android says so; on iOS every browser ends in "Safari/…" and a view inside an app does not.
  if (/\bAndroid\b.*;\s*wv\)/.test(userAgent)) return true
  return /\((iPhone|iPad|iPod)\b/.test(userAgent) && !/\bSafari\//.test(userAgent)
}
