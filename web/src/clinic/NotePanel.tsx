import { t } from '../i18n/text'
import { timeText } from '../i18n/time'
import { NoteConflict } from './NoteConflict'
import { shownAs } from './noteState'
import type { Note } from './useNote'

interface Props {
  note: Note
  readOnly: boolean
  zone: string
}

/** The note beside the call. It saves itself, and always says whether it has. */
export function NotePanel({ note, readOnly, zone }: Props) {
  const { state, keeper } = note
  const shown = shownAs(state)
  const savedAt = state.saved?.updatedAt
  const words =
    shown === 'saved' && savedAt
      ? t('note.savedAt', { time: timeText(savedAt, zone) })
      : t(`note.is.${shown}`)
  return (
    <section className="card note" aria-labelledby="note-heading">
      <div className="row spread">
        <h2 id="note-heading">{t('note.title')}</h2>
        <p className="note-state" data-state={shown} role="status">
          {words}
        </p>
      </div>
      {state.theirs && state.text !== null && (
        <NoteConflict theirs={state.theirs} keeper={keeper} zone={zone} />
      )}
      <textarea
        className="input note-text"
        aria-labelledby="note-heading"
        readOnly={readOnly || state.text === null}
        placeholder={readOnly ? undefined : t('note.placeholder')}
        value={state.text ?? ''}
        onChange={(event) => keeper.send({ kind: 'typed', text: event.target.value })}
      />
      {readOnly && <p className="small soft">{t('note.readOnly')}</p>}
    </section>
  )
}
