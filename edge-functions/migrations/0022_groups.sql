-- Several patients may share a time; a visit may need a room of its site, or an interpreter.

ALTER TABLE service ADD COLUMN capacity INTEGER NOT NULL DEFAULT 1 CHECK (capacity BETWEEN 1 AND 12);
ALTER TABLE service ADD COLUMN needs_room INTEGER NOT NULL DEFAULT 0 CHECK (needs_room IN (0, 1));

-- Of the building. What calls have is `room`.
CREATE TABLE site_room (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  site TEXT NOT NULL,
  -- Its name in bundles, within its site.
  key TEXT NOT NULL,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  removed_at INTEGER,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, site) REFERENCES site
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX site_room_by_key ON site_room (clinic, site, key) WHERE removed_at IS NULL;

-- Which of the time's places it has, from 1, and which room.
ALTER TABLE hold ADD COLUMN place INTEGER NOT NULL DEFAULT 1 CHECK (place >= 1);
ALTER TABLE hold ADD COLUMN room TEXT;
CREATE INDEX hold_by_room ON hold (clinic, start_at) WHERE room IS NOT NULL;

ALTER TABLE appointment ADD COLUMN place INTEGER NOT NULL DEFAULT 1 CHECK (place >= 1);
-- Of a group: the visit whose row in `room` all of them are in, the first that was let in. NULL: its own.
ALTER TABLE appointment ADD COLUMN call_of TEXT;
CREATE INDEX appointment_by_call ON appointment (clinic, call_of) WHERE call_of IS NOT NULL;
-- BCP 47.
ALTER TABLE appointment ADD COLUMN interpreter_language TEXT;

-- By whose visit somebody is in the call; NULL: staff, who are there for all.
ALTER TABLE room_participant ADD COLUMN visit TEXT;

-- The same when the call is over, for groups only.
CREATE TABLE call_visit (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  participant TEXT NOT NULL,
  visit TEXT NOT NULL,
  PRIMARY KEY (clinic, appointment, participant),
  FOREIGN KEY (clinic, appointment, participant) REFERENCES call_person
) STRICT, WITHOUT ROWID;
