-- Who takes part in a call's end-to-end encryption, with which device. A client that sends no device key takes no part;
-- one that cannot encrypt has a row without keys.
CREATE TABLE room_member (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  person TEXT NOT NULL,
  -- RFC 7638 thumbprint of the device's key, and SHA-256 of the key that it agrees on secrets with in this call.
  device TEXT,
  commitment TEXT,
  PRIMARY KEY (clinic, appointment, person),
  -- Also a release that does not know this table ends visits.
  FOREIGN KEY (clinic, appointment, person) REFERENCES room_participant ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Grows by one whenever the rows of the call above change: keys rotate then, and at no other time.
ALTER TABLE room ADD COLUMN membership INTEGER NOT NULL DEFAULT 0;

-- Whether the clinic gives tokens to clients that name no device key: 0 or 1.
ALTER TABLE clinic ADD COLUMN unbound_tokens INTEGER NOT NULL DEFAULT 1;
