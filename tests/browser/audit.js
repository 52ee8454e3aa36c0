import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import axe from 'axe-core'

/** @typedef {import('playwright-core').Page} Page */

const NARROW_PX = 360

const PICTURES = resolve(import.meta.dirname, '../../docs/images')
/** Whether pictures of the pages that tests pass through are renewed. */
const TAKE_PICTURES = process.env.SCREENSHOTS === '1'
/** As far as words can be read. */
const PICTURE_QUALITY = 55

/** What takes pictures of a page: one for all of them, for the end of one would end its authenticator too. @type {WeakMap<Page, import('playwright-core').CDPSession>} */
const cameras = new WeakMap()

/** What was found on the pages that a test passed through. */
export class Audit {
  /** @type {string[]} */
  accessibility = []
  /** @type {string[]} */
  layout = []
  /** @type {string[]} */
  visited = []

  /**
   * @param {Page} page
   * @param {string} name
   */
  async visit(page, name) {
    this.visited.push(name)
    await page.evaluate(axe.source)
    const violations = await page.evaluate(async () => {
      const { axe: inPage } = /** @type {{ axe: typeof import('axe-core') }} */ (
        /** @type {unknown} */ (window)
      )
      const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
      const { violations } = await inPage.run(document, { runOnly: tags })
      return violations.map(({ id, impact, nodes }) => ({
        id,
        impact,
        where: nodes.map((node) => node.html),
      }))
    })
    for (const { id, impact, where } of violations) {
      if (impact === 'serious' || impact === 'critical')
        this.accessibility.push(`${name}: ${id}: ${where.join(' ')}`)
    }
    if ((page.viewportSize()?.width ?? 0) > NARROW_PX * 2) await picture(page, 'desktop', name)
    await this.#narrow(page, name)
  }

  /**
   * @param {Page} page
   * @param {string} name
   */
  async #narrow(page, name) {
    const before = page.viewportSize()
    await page.setViewportSize({ width: NARROW_PX, height: 740 })
    await picture(page, 'phone', name)
    const found = await page.evaluate(() => {
      const root = document.documentElement
      const wide = root.scrollWidth
      // As for who reads from the right to the left.
      const { dir } = root
      root.dir = 'rtl'
      const mirrored = root.scrollWidth
      root.dir = dir
      const small = [...document.querySelectorAll('button, a.button, input, select, label.choice, label.day')]
        .map((element) => ({ element, box: element.getBoundingClientRect() }))
        .filter(({ element, box }) => box.width > 0 && !element.closest('label.choice, label.day, .unseen'))
        .filter(({ box }) => box.height < 43.5 || box.width < 24)
      return {
        wide,
        mirrored,
        small: small.map(
          ({ element, box }) => `${element.outerHTML.slice(0, 80)} ${box.width}x${box.height}`,
        ),
      }
    })
    if (found.wide > NARROW_PX) this.layout.push(`${name}: ${found.wide} px wide`)
    if (found.mirrored > NARROW_PX) this.layout.push(`${name}: ${found.mirrored} px wide, mirrored`)
    for (const element of found.small) this.layout.push(`${name}: too small to hit: ${element}`)
    if (before) await page.setViewportSize(before)
  }
}

/**
 * A picture of what is seen, for docs/images.
 *
 * @param {Page} page
 * @param {'desktop' | 'phone'} where
 * @param {string} name
 */
async function picture(page, where, name) {
  if (!TAKE_PICTURES) return
  const folder = join(PICTURES, where)
  mkdirSync(folder, { recursive: true })
  const devtools = cameras.get(page) ?? (await page.context().newCDPSession(page))
  cameras.set(page, devtools)
  const taken = { format: /** @type {const} */ ('webp'), quality: PICTURE_QUALITY }
  const { data } = await devtools.send('Page.captureScreenshot', taken)
  const file = name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
  writeFileSync(join(folder, `${file}.webp`), Buffer.from(data, 'base64'))
}
