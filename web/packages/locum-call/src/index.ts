/** Keeps a call alive when its media node goes away. The README tells how. */

export type { Grant, Phase, Plan } from './grant'
export { keepConnected, type Line, type Place } from './keepConnected'
export { arrivingIn, type EnterOptions, enterRoom, LiveKitStay, type OwnTrack } from './livekit'
export { pauseUntilNetworkChange } from './networkChange'
export { base64url, makeDevice, mintedAtMs, passFor, thumbprint } from './pass'
export { answers, probe } from './probe'
export { type MediaNode, race, type Track } from './race'
export { type Renewing, renew } from './renewal'
export type { End, Kind, Seen, Stay } from './stay'
