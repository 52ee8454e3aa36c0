/** What an export's `Link` header says comes next (RFC 8288). */
export function nextOf(link: string | null): string | undefined {
  const found = /<\?after=([\w-]+)>; rel="next"/.exec(link ?? '')
  return found?.[1]
}

/** Hands a file to the browser's own downloads. */
export function saveAs(file: Blob, name: string): void {
  const url = URL.createObjectURL(file)
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
