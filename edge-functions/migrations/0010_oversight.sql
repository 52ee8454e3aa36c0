-- Who may see what beside their own patients, what of it is looked at again, and who was still meant to have which role.

-- How a clinic wants it; a clinic without a row has what kit/src/oversight.rs says.
CREATE TABLE oversight (
  clinic TEXT NOT NULL PRIMARY KEY REFERENCES clinic,
  -- 'assigned': clinicians open records of their own patients, and others' with a reason.
  record_access TEXT NOT NULL CHECK (record_access IN ('clinic', 'assigned')),
  emergency_minutes INTEGER NOT NULL CHECK (emergency_minutes BETWEEN 5 AND 720),
  -- Local times, HH:MM: what is opened outside them is looked at.
  day_begins TEXT NOT NULL,
  day_ends TEXT NOT NULL,
  -- So many patients within an hour are looked at.
  mass_patients INTEGER NOT NULL CHECK (mass_patients > 0),
  -- One of so many ordinary accesses is looked at; 0: none.
  sample_one_in INTEGER NOT NULL CHECK (sample_one_in >= 0),
  -- Who is written to at once when a record is opened in an emergency.
  alert_email TEXT,
  changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE emergency_access (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  user TEXT NOT NULL,
  patient TEXT NOT NULL,
  encounter TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, user) REFERENCES staff_user,
  FOREIGN KEY (clinic, patient) REFERENCES patient,
  FOREIGN KEY (clinic, encounter) REFERENCES encounter
) STRICT, WITHOUT ROWID;

CREATE INDEX emergency_access_by_user ON emergency_access (clinic, user, patient, expires_at);

-- What was looked at; what is still to be looked at follows from the audit events.
CREATE TABLE access_review (
  clinic TEXT NOT NULL,
  -- Rule and request.
  item TEXT NOT NULL,
  result TEXT NOT NULL CHECK (result IN ('justified', 'follow-up', 'violation')),
  reviewer TEXT NOT NULL,
  reviewed_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, item),
  FOREIGN KEY (clinic, reviewer) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- An administrator looks through everybody's roles until a day.
CREATE TABLE recertification (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  due_on TEXT NOT NULL,
  begun_by TEXT NOT NULL,
  begun_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, begun_by) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE TABLE recertification_item (
  clinic TEXT NOT NULL,
  recertification TEXT NOT NULL,
  user TEXT NOT NULL,
  -- Those that the person had when it began, and has since it was decided.
  roles TEXT NOT NULL,
  decision TEXT CHECK (decision IN ('keep', 'change', 'remove')),
  new_roles TEXT,
  decided_by TEXT,
  decided_at INTEGER,
  PRIMARY KEY (clinic, recertification, user),
  FOREIGN KEY (clinic, recertification) REFERENCES recertification,
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- Where somebody may practise, and from when to when.
CREATE TABLE licence (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  user TEXT NOT NULL,
  -- ISO 3166-1 or 3166-2, such as DE or US-OR.
  jurisdiction TEXT NOT NULL,
  number TEXT NOT NULL,
  valid_from TEXT NOT NULL,
  valid_until TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  removed_at INTEGER,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX licence_by_user ON licence (clinic, user);
