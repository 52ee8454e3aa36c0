/** What an export's `Link` header says comes next (RFC 8288). */
export function nextOf(link: string | null): string | undefined {
  const found = /<\?after=([\w-]+)>; rel="next"/.exec(link ?? '')
  return found?.[1]
}
