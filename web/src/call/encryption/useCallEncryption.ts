import { useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { CallEncryption } from './CallEncryption'
import type { CallLine, Shown } from './CallLine'
import type { CallDoor } from './door'
import { canEncrypt } from './support'

/** The encryption of a visit's call, once its keys are there; `unsupported` where this browser cannot. */
export function useCallEncryption(visit: string, door: CallDoor): CallEncryption | 'unsupported' | null {
  const [encryption, setEncryption] = useState<CallEncryption | 'unsupported' | null>(null)
  const outside = useRef(door)
  outside.current = door
  useEffect(() => {
    let gone = false
    const open = async () => {
      if (!(await canEncrypt())) return 'unsupported' as const
      return CallEncryption.open(visit, () => outside.current)
    }
    // A browser that keeps nothing (no IndexedDB in a private window, say) has no device key to prove.
    open()
      .catch(() => 'unsupported' as const)
      .then((opened) => {
        if (!gone) setEncryption(opened)
      })
    return () => {
      gone = true
    }
  }, [visit])
  return encryption
}

/** What the person is to be shown. */
export function useShown(encryption: CallLine): Shown {
  return useSyncExternalStore(encryption.watch, encryption.show)
}
