-- What people said of a call while they were in it: ids and words of ours, kept with the encounter.
CREATE TABLE call_report (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  encounter TEXT NOT NULL,
  -- 'patient', or the id of a member of staff or of a guest.
  person TEXT NOT NULL,
  kind TEXT NOT NULL
    CHECK (kind IN ('phone-instead', 'no-sound', 'no-picture', 'poor-sound', 'poor-picture', 'other')),
  -- Where they were, as far as their page knew.
  node TEXT,
  at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, encounter) REFERENCES encounter
) STRICT, WITHOUT ROWID;

CREATE INDEX call_report_of_encounter ON call_report (clinic, encounter, kind, at);
