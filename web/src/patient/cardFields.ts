/** What we use of the payment provider's own script: its fields take the card, which never comes to us. */
export interface CardProvider {
  elements: () => { create: (kind: 'card', options?: object) => CardElement }
  confirmCardPayment: (clientSecret: string, data: CardData) => Promise<CardOutcome>
  confirmCardSetup: (clientSecret: string, data: CardData) => Promise<CardOutcome>
}

export interface CardElement {
  mount: (place: HTMLElement) => void
  destroy: () => void
}

interface CardData {
  payment_method: { card: CardElement }
}

/** What it says counts for words only: the clinic asks the provider itself. */
interface CardOutcome {
  error?: { message?: string } | null
}

type MakeProvider = (publishableKey: string) => CardProvider

declare global {
  interface Window {
    Stripe?: MakeProvider
  }
}

const PATIENCE_MS = 20_000
let loading: Promise<MakeProvider> | null = null

/** The provider's script, loaded once and only where somebody pays by card. */
export async function loadProvider(script: string, publishableKey: string): Promise<CardProvider> {
  loading ??= load(script).catch((error: unknown) => {
    loading = null
    throw error
  })
  return (await loading)(publishableKey)
}

function load(src: string): Promise<MakeProvider> {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script')
    const failed = () => reject(new Error('the payment provider cannot be reached'))
    const late = setTimeout(failed, PATIENCE_MS)
    script.src = src
    script.onload = () => {
      clearTimeout(late)
      if (window.Stripe) resolve(window.Stripe)
      else failed()
    }
    script.onerror = () => {
      clearTimeout(late)
      script.remove()
      failed()
    }
    document.body.append(script)
  })
}
