import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { timeText } from '../i18n/time'
import type { NoteKeeper } from './NoteKeeper'
import type { Stored } from './noteState'

interface Props {
  theirs: Stored
  keeper: NoteKeeper
  zone: string
}

/** Two people wrote at once. Both texts are shown; a person decides. */
export function NoteConflict({ theirs, keeper, zone }: Props) {
  return (
    <Notice tone="warm" title={t('note.conflict')}>
      {theirs.author && theirs.updatedAt && (
        <p>{t('note.conflict.by', { name: theirs.author, time: timeText(theirs.updatedAt, zone) })}</p>
      )}
      <blockquote className="theirs">{theirs.text}</blockquote>
      <div className="row">
        <Button onClick={() => keeper.send({ kind: 'keepMine' })}>{t('note.keepMine')}</Button>
        <Button onClick={() => keeper.send({ kind: 'takeTheirs' })}>{t('note.takeTheirs')}</Button>
      </div>
    </Notice>
  )
}
