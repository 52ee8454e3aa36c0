import { useEffect, useMemo, useState, useSyncExternalStore } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { bodyAndTag } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import type { Encounter } from '../api/types'
import { NoteKeeper } from './NoteKeeper'
import { isDirty, type NoteState, type Stored } from './noteState'
import { useStaff } from './staff'

export interface Note {
  state: NoteState
  keeper: NoteKeeper
  /** The patient is somebody else's: the record opens with a reason only. */
  refused: boolean
}

/** The note of an encounter, kept safe while this page is open. */
export function useNote(encounter: string): Note {
  const { api, clinic } = useClinicApi()
  const [refused, setRefused] = useState(false)
  const keeper = useMemo(() => {
    const path = { clinic, id: encounter }
    return new NoteKeeper({
      load: async () => {
        const loading = bodyAndTag(api.GET('/c/{clinic}/records/encounters/{id}', { params: { path } }))
        const loaded = await loading.catch((error) => {
          setRefused(hasSlug(error, 'not-assigned'))
          throw error
        })
        setRefused(false)
        return stored(loaded)
      },
      // Asking again would only be refused, and recorded, again.
      isFinal: (error) => hasSlug(error, 'not-assigned'),
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

  return { state, keeper, refused }
}

function stored({ data, etag }: { data: Encounter; etag: string }): Stored {
  const { note } = data
  return { text: note?.text ?? '', etag, author: note?.author ?? null, updatedAt: note?.updatedAt ?? null }
}
