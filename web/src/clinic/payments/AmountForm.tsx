import { type SyntheticEvent, useState } from 'react'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'

interface Props {
  amount: string
  methods?: readonly ('cash' | 'terminal' | 'transfer')[]
  busy: boolean
  onSubmit: (amount: string, method: string, id: string) => Promise<void>
  onClose: () => void
}

/** How much, and how. What is sent twice has one id. */
export function AmountForm({ amount, methods = [], busy, onSubmit, onClose }: Props) {
  const [typed, setTyped] = useState(amount)
  const [method, setMethod] = useState<string>(methods[0] ?? '')
  const [id] = useState(() => crypto.randomUUID())

  function submit(event: SyntheticEvent) {
    event.preventDefault()
    void onSubmit(typed.trim().replace(',', '.'), method, id)
  }

  return (
    <form className="stack" noValidate onSubmit={submit}>
      <Field
        label={t('payments.amount')}
        inputMode="decimal"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
      />
      {methods.length > 0 && (
        <Select
          label={t('payments.method')}
          value={method}
          options={methods.map((one) => [one, t(`payments.method.${one}`)])}
          onChange={setMethod}
        />
      )}
      <div className="row">
        <Button type="submit" look="primary" busy={busy}>
          {t('payments.save')}
        </Button>
        <Button look="plain" onClick={onClose}>
          {t('payments.close')}
        </Button>
      </div>
    </form>
  )
}
