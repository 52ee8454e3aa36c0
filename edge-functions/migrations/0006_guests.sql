-- Whom else a visit has: a link each, that opens this visit only. No name is asked for; the role is all that the
-- others are shown.
CREATE TABLE guest (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  appointment TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('interpreter', 'family', 'other')),
  created_at INTEGER NOT NULL,
  arrived_at INTEGER,
  admitted_at INTEGER,
  removed_at INTEGER,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, token_hash),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE INDEX guest_by_appointment ON guest (clinic, appointment);

-- NULL: the patient's own.
ALTER TABLE visit_session ADD COLUMN guest TEXT;
CREATE INDEX visit_session_by_guest ON visit_session (clinic, guest) WHERE guest IS NOT NULL;

-- Whose tokens media nodes refuse although they have not expired. Every edge host reads this out of its copy and
-- tells the nodes that ask; after `until` (unix milliseconds) all those tokens have expired.
CREATE TABLE revocation (
  clinic TEXT NOT NULL,
  room TEXT NOT NULL,
  -- The participant's name in the room; empty: everybody.
  participant TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (clinic, room, participant)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocation_by_time ON revocation (until);
