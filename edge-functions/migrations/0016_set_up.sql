-- A clinic is set up from a bundle: sites, services with buffers, hours and their exceptions, what patients agree to.

-- Where practitioners are booked. Hours without a site are the clinic's own, in its time zone.
CREATE TABLE site (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  -- Its name in bundles.
  key TEXT NOT NULL,
  name TEXT NOT NULL,
  address TEXT NOT NULL,
  time_zone TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  removed_at INTEGER,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX site_by_key ON site (clinic, key) WHERE removed_at IS NULL;

-- A service without a key is from before there were bundles: its id stands for it.
ALTER TABLE service ADD COLUMN key TEXT;
ALTER TABLE service ADD COLUMN buffer_before_minutes INTEGER NOT NULL DEFAULT 0
  CHECK (buffer_before_minutes BETWEEN 0 AND 120);
ALTER TABLE service ADD COLUMN buffer_after_minutes INTEGER NOT NULL DEFAULT 0
  CHECK (buffer_after_minutes BETWEEN 0 AND 120);
ALTER TABLE service ADD COLUMN removed_at INTEGER;

ALTER TABLE opening_hours ADD COLUMN site TEXT;

-- Days that are not like others, first and last included. Without a practitioner it limits hours: closed, or open
-- from and until only. With one it replaces theirs.
CREATE TABLE hours_exception (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  site TEXT,
  practitioner TEXT,
  name TEXT NOT NULL,
  from_day TEXT NOT NULL,
  until_day TEXT NOT NULL,
  opens TEXT,
  closes TEXT,
  PRIMARY KEY (clinic, id),
  CHECK ((opens IS NULL) = (closes IS NULL))
) STRICT, WITHOUT ROWID;

ALTER TABLE hold ADD COLUMN site TEXT;
-- Where the patient says they will be, ISO 3166.
ALTER TABLE hold ADD COLUMN patient_location TEXT;
ALTER TABLE appointment ADD COLUMN patient_location TEXT;

-- What patients agree to, and what they are asked. A new text is a new row, for what was agreed to stays.
CREATE TABLE consent_text (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  key TEXT NOT NULL,
  jurisdiction TEXT NOT NULL,
  language TEXT NOT NULL,
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  body_sha256 BLOB NOT NULL CHECK (length(body_sha256) = 32),
  created_at INTEGER NOT NULL,
  removed_at INTEGER,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX consent_text_now ON consent_text (clinic, key, jurisdiction, language) WHERE removed_at IS NULL;

CREATE TABLE questionnaire (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  key TEXT NOT NULL,
  -- FHIR R4 Questionnaire, as JSON.
  content TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  removed_at INTEGER,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX questionnaire_now ON questionnaire (clinic, key) WHERE removed_at IS NULL;

-- Patients can book. What was set up before there was a checklist goes on.
ALTER TABLE clinic ADD COLUMN is_open INTEGER NOT NULL DEFAULT 1 CHECK (is_open IN (0, 1));
ALTER TABLE clinic ADD COLUMN privacy_officer_name TEXT;
ALTER TABLE clinic ADD COLUMN privacy_officer_email TEXT;
ALTER TABLE clinic ADD COLUMN color TEXT;
-- Whether a practitioner needs a licence where the patient is: 'auto', once any licence is known here.
ALTER TABLE clinic ADD COLUMN licence_check TEXT NOT NULL DEFAULT 'auto'
  CHECK (licence_check IN ('auto', 'always', 'never'));
-- A patient who has not come so many minutes after the start may be marked as not having come.
ALTER TABLE clinic ADD COLUMN no_show_after_minutes INTEGER NOT NULL DEFAULT 15
  CHECK (no_show_after_minutes BETWEEN 0 AND 240);
