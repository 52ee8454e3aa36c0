import axe from 'axe-core'

/** @typedef {import('playwright-core').Page} Page */

const NARROW_PX = 360

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
    await this.#narrow(page, name)
  }

  /**
   * @param {Page} page
   * @param {string} name
   */
  async #narrow(page, name) {
    const before = page.viewportSize()
    await page.setViewportSize({ width: NARROW_PX, height: 740 })
    const found = await page.evaluate(() => {
      const wide = document.documentElement.scrollWidth
      const small = [...document.querySelectorAll('button, a.button, input, select, label.choice, label.day')]
        .map((element) => ({ element, box: element.getBoundingClientRect() }))
        .filter(({ element, box }) => box.width > 0 && !element.closest('label.choice, label.day, .unseen'))
        .filter(({ box }) => box.height < 43.5 || box.width < 24)
      return {
        wide,
        small: small.map(
          ({ element, box }) => `${element.outerHTML.slice(0, 80)} ${box.width}x${box.height}`,
        ),
      }
    })
    if (found.wide > NARROW_PX) this.layout.push(`${name}: ${found.wide} px wide`)
    for (const element of found.small) this.layout.push(`${name}: too small to hit: ${element}`)
    if (before) await page.setViewportSize(before)
  }
}
