import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { bodyAndTag } from '../api/client'
import { hasStatus } from '../api/problem'
import type { Encounter } from '../api/types'
import { NoteKeeper } from './NoteKeeper'
import { isDirty, type NoteState, type Stored } from './noteState'
import { useStaff } from './staff'

export interface Note {
  state: NoteState
  keeper: NoteKeeper
}

/** The note of an encounter, kept safe while this page is open. */
export function useNote(encounter: string): Note {
  const { api, clinic } = useClinicApi()
  const keeper = useMemo(() => {
    const path = { clinic, id: encounter }
    return new NoteKeeper({
      load: async () =>
        stored(await bodyAndTag(api.GET('/c/{clinic}/records/encounters/{id}', { params: { path } }))),
      save: async (text, etag) => {
        const params = { path, header: { 'If-Match': etag } }
        return stored(
          await bodyAndTag(api.PUT('/c/{clinic}/records/encounters/{id}/note', { params, body: { text } })),
        )
      },
      isOvertaken: (error) => hasStatus(error, 412),
    })
  }, [api, clinic, encounter])
  const state = useSyncExternalStore(keeper.subscribe, keeper.state)

  useEffect(() => keeper.open(), [keeper])

  const { beforeSignOut } = useStaff()
  useEffect(() => beforeSignOut(() => keeper.flush()), [beforeSignOut, keeper])

  const dirty = isDirty(state)
  useEffect(() => {
    if (!dirty) return
    const warn = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', warn)
    return () => removeEventListener('beforeunload', warn)
  }, [dirty])

  return { state, keeper }
}

function stored({ data, etag }: { data: Encounter; etag: string }): Stored {
  const { note } = data
  return { text: note?.text ?? '', etag, author: note?.author ?? null, updatedAt: note?.updatedAt ?? null }
}
