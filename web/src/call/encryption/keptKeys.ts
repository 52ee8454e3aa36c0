import { type DeviceKeys, makeDeviceKeys } from './deviceKeys'

/** What this browser keeps for a visit: a page that is loaded anew is the same device, and nobody's keys rotate. */
export interface Kept {
  keys: DeviceKeys
  sent: number
  seen: Map<string, number>
}

const DATABASE = 'locum-call-keys'
const STORE = 'visits'
const FORGET_AFTER_MS = 24 * 60 * 60 * 1000

/** The keys of a visit, made at the first time; those of visits of other days are thrown away. */
export async function keptKeys(visit: string): Promise<Kept> {
  const database = await openDatabase()
  try {
    await forgetOld(database)
    const found = await done<(Kept & { madeAt: number }) | undefined>(
      database.transaction(STORE).objectStore(STORE).get(visit),
    )
    if (found) return found
    const made = {
      keys: await makeDeviceKeys(),
      sent: 0,
      seen: new Map<string, number>(),
      madeAt: Date.now(),
    }
    // Another tab may have been faster: whichever stands there is the device's.
    return await done(
      await addOrGet(database.transaction(STORE, 'readwrite').objectStore(STORE), visit, made),
    )
  } finally {
    database.close()
  }
}

/** Remembers which messages were sent and seen. */
export async function keepSequences(visit: string, sent: number, seen: Map<string, number>): Promise<void> {
  const database = await openDatabase()
  try {
    const store = database.transaction(STORE, 'readwrite').objectStore(STORE)
    const found = await done<Kept | undefined>(store.get(visit))
    if (found) await done(store.put({ ...found, sent: Math.max(sent, found.sent), seen }, visit))
  } finally {
    database.close()
  }
}

async function addOrGet(store: IDBObjectStore, visit: string, made: Kept): Promise<IDBRequest<Kept>> {
  const there = await done(store.getKey(visit))
  if (there === undefined) await done(store.add(made, visit))
  return store.get(visit)
}

function forgetOld(database: IDBDatabase): Promise<void> {
  return new Promise((resolve, reject) => {
    const cursor = database.transaction(STORE, 'readwrite').objectStore(STORE).openCursor()
    cursor.onerror = () => reject(cursor.error)
    cursor.onsuccess = () => {
      const at = cursor.result
      if (!at) return resolve()
      if (at.value.madeAt + FORGET_AFTER_MS < Date.now()) at.delete()
      at.continue()
    }
  })
}

function openDatabase(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1)
  request.onupgradeneeded = () => request.result.createObjectStore(STORE)
  return done(request)
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
