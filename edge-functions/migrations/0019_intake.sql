-- What patients are asked before a visit, what they answered, and what they agreed to. Resources stand here whole, as FHIR R4
-- has them; the columns beside them are what is searched.

-- Of which service, by its key; NULL: of those that have none of their own.
ALTER TABLE questionnaire ADD COLUMN service TEXT;
-- 1: nobody enters the waiting room before it is answered.
ALTER TABLE questionnaire ADD COLUMN required INTEGER NOT NULL DEFAULT 0 CHECK (required IN (0, 1));

-- Counts the texts that stood in this place.
ALTER TABLE consent_text ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

CREATE TABLE questionnaire_response (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  appointment TEXT NOT NULL,
  questionnaire TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('in-progress', 'completed')),
  -- Changes with every write, and means nothing else.
  version TEXT NOT NULL,
  resource TEXT NOT NULL,
  authored_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, appointment),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment,
  FOREIGN KEY (clinic, questionnaire) REFERENCES questionnaire
) STRICT, WITHOUT ROWID;

-- For one visit each, under one text.
CREATE TABLE consent (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  appointment TEXT NOT NULL,
  text TEXT NOT NULL,
  method TEXT NOT NULL CHECK (method IN ('digital', 'verbal')),
  -- Who heard it; NULL: the patient, or who acts for them, said so on their page.
  attested_by TEXT,
  resource TEXT NOT NULL,
  given_at INTEGER NOT NULL,
  withdrawn_at INTEGER,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment,
  FOREIGN KEY (clinic, text) REFERENCES consent_text,
  FOREIGN KEY (clinic, attested_by) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX consent_by_appointment ON consent (clinic, appointment);

-- A clinician began a visit without it, in an emergency.
CREATE TABLE consent_override (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  appointment TEXT NOT NULL,
  user TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment,
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX consent_override_by_appointment ON consent_override (clinic, appointment);
