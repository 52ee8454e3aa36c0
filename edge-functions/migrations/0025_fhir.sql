-- Resources of FHIR that the application does not keep in tables of its own, as they came; what they are found by; and what
-- they were before.

CREATE TABLE fhir_resource (
  clinic TEXT NOT NULL REFERENCES clinic,
  type TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  updated_at INTEGER NOT NULL,
  -- 1: gone, but for its history.
  deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
  -- Whose record it is of.
  patient TEXT,
  content TEXT NOT NULL,
  PRIMARY KEY (clinic, type, id),
  FOREIGN KEY (clinic, patient) REFERENCES patient
) STRICT, WITHOUT ROWID;

CREATE INDEX fhir_resource_of_patient ON fhir_resource (clinic, patient, type, id);

CREATE TABLE fhir_version (
  clinic TEXT NOT NULL,
  type TEXT NOT NULL,
  id TEXT NOT NULL,
  version INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted INTEGER NOT NULL CHECK (deleted IN (0, 1)),
  content TEXT NOT NULL,
  PRIMARY KEY (clinic, type, id, version),
  FOREIGN KEY (clinic, type, id) REFERENCES fhir_resource
) STRICT, WITHOUT ROWID;

-- Of dates and numbers the range that they cover, in milliseconds or millionths; of others what they say.
CREATE TABLE fhir_key (
  clinic TEXT NOT NULL,
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL DEFAULT '',
  low INTEGER NOT NULL DEFAULT 0,
  high INTEGER NOT NULL DEFAULT 0,
  system TEXT NOT NULL DEFAULT '',
  id TEXT NOT NULL,
  PRIMARY KEY (clinic, type, name, value, low, high, system, id),
  FOREIGN KEY (clinic, type, id) REFERENCES fhir_resource
) STRICT, WITHOUT ROWID;

CREATE INDEX fhir_key_of_resource ON fhir_key (clinic, type, id, name, low);
