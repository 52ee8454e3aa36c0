-- Whoever lost the link to a visit asks for a new one, with an address that we may or may not know: remembered alike, for a day,
-- so that nobody is sent many. SHA-256 of the address in lower case.
CREATE TABLE link_request (
  clinic TEXT NOT NULL,
  email_hash BLOB NOT NULL CHECK (length(email_hash) = 32),
  at INTEGER NOT NULL,
  PRIMARY KEY (clinic, email_hash)
) STRICT, WITHOUT ROWID;

CREATE INDEX patient_by_email ON patient (clinic, lower(email));
