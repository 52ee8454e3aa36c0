// What the JavaScript library ical.js reads in files: one JSON object a file. Usage: read.mjs ZONE FILE...

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const { default: ICAL } = await import(
  createRequire(new URL('../browser/package.json', import.meta.url)).resolve('ical.js')
)
const [zone, ...files] = process.argv.slice(2)
const clock = new Intl.DateTimeFormat('sv-SE', {
  timeZone: zone,
  dateStyle: 'short',
  timeStyle: 'short',
})
for (const name of files) {
  const calendar = new ICAL.Component(ICAL.parse(readFileSync(name, 'utf8')))
  const component = calendar.getFirstSubcomponent('vevent')
  const event = new ICAL.Event(component)
  const start = event.startDate.toJSDate()
  console.log(
    JSON.stringify({
      method: calendar.getFirstPropertyValue('method') ?? '',
      uid: event.uid,
      sequence: event.sequence,
      status: component.getFirstPropertyValue('status'),
      start: start.getTime() / 1000,
      end: event.endDate.toJSDate().getTime() / 1000,
      local: clock.format(start),
    }),
  )
}
