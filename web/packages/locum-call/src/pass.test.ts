import { describe, expect, test } from 'vitest'
import { joinUrl, makeDevice, mintedAtMs, proofFor, thumbprint } from './pass'

const read = (part: string | undefined) => JSON.parse(Buffer.from(part ?? '', 'base64url').toString())

describe('a device', () => {
  test('has a thumbprint as RFC 7638 wants it, and a key that cannot be read out', async () => {
    const { publicKey, privateKey } = await makeDevice()
    const { x, y } = await crypto.subtle.exportKey('jwk', publicKey)
    const text = new TextEncoder().encode(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)
    const digest = await crypto.subtle.digest('SHA-256', text)
    expect(await thumbprint(publicKey)).toBe(Buffer.from(digest).toString('base64url'))
    await expect(crypto.subtle.exportKey('jwk', privateKey)).rejects.toThrow()
  })

  test('proves itself for one node, one token and one moment', async () => {
    const device = await makeDevice()
    const url = 'https://m1.example/join'
    const proof = await proofFor(device, url, 'token', 1_800_000_000_999)
    const [header = '', claims = '', signature = ''] = proof.split('.')
    expect(read(header)).toMatchObject({ typ: 'dpop+jwt', alg: 'ES256', jwk: { kty: 'EC', crv: 'P-256' } })
    expect(Object.keys(read(header).jwk)).toEqual(['crv', 'kty', 'x', 'y'])
    expect(read(claims)).toMatchObject({ htm: 'POST', htu: url, iat: 1_800_000_000 })
    const signed = new TextEncoder().encode(`${header}.${claims}`)
    const ecdsa = { name: 'ECDSA', hash: 'SHA-256' }
    const bytes = Buffer.from(signature, 'base64url')
    expect(await crypto.subtle.verify(ecdsa, device.publicKey, bytes, signed)).toBe(true)
    expect(await proofFor(device, url, 'token', 0)).not.toContain(read(claims).jti)
  })
})

test('a node is asked beside its WebSocket', () => {
  expect(joinUrl('ws://m1.example:7880')).toBe('http://m1.example:7880/join')
  expect(joinUrl('wss://m1.example/')).toBe('https://m1.example/join')
})

test('the clinic’s time is in its token', () => {
  const claims = Buffer.from(JSON.stringify({ nbf: 1_799_999_990, other: '~~~???' })).toString('base64url')
  expect(mintedAtMs(`header.${claims}.signature`)).toBe(1_800_000_000_000)
})
