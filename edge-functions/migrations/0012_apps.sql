-- Apps that people of a clinic use with its records (OAuth 2.1, SMART App Launch 2.2). Codes and tokens stand here as their
-- SHA-256 only. Nothing here means anything to a host of the release before: it takes no tokens.

CREATE TABLE app_client (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  -- How it proves who it is: not at all (its code runs at people's own devices), by a secret, by a key.
  kind TEXT NOT NULL CHECK (kind IN ('public', 'secret', 'key')),
  secret_hash BLOB CHECK (secret_hash IS NULL OR length(secret_hash) = 32),
  -- RFC 7517: the keys themselves, or where they are.
  jwks TEXT,
  jwks_uri TEXT,
  -- One a line, compared as they are.
  redirect_uris TEXT NOT NULL,
  -- Where it is opened for a patient, if it can be.
  launch_uri TEXT,
  -- The most it is granted.
  scopes TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;

-- That somebody let an app in, or that it came by itself. Everything it holds hangs on this.
CREATE TABLE app_grant (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  client TEXT NOT NULL,
  -- NULL: the app by itself.
  user TEXT,
  scopes TEXT NOT NULL,
  patient TEXT,
  encounter TEXT,
  -- When the person signed in.
  auth_at INTEGER,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, client) REFERENCES app_client,
  FOREIGN KEY (clinic, user) REFERENCES staff_user,
  FOREIGN KEY (clinic, patient) REFERENCES patient
) STRICT, WITHOUT ROWID;

CREATE INDEX app_grant_by_user ON app_grant (clinic, user);
CREATE INDEX app_grant_by_time ON app_grant (clinic, created_at);

CREATE TABLE app_code (
  clinic TEXT NOT NULL,
  code_hash BLOB NOT NULL CHECK (length(code_hash) = 32),
  grant_id TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  -- RFC 7636, S256.
  challenge BLOB NOT NULL CHECK (length(challenge) = 32),
  nonce TEXT,
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, code_hash),
  FOREIGN KEY (clinic, grant_id) REFERENCES app_grant
) STRICT, WITHOUT ROWID;

-- One that was used stays as long as its grant: who comes with it again is not whom it was given to.
CREATE TABLE app_refresh (
  clinic TEXT NOT NULL,
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  grant_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, token_hash),
  FOREIGN KEY (clinic, grant_id) REFERENCES app_grant
) STRICT, WITHOUT ROWID;

CREATE TABLE app_access (
  clinic TEXT NOT NULL,
  token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
  grant_id TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, token_hash),
  FOREIGN KEY (clinic, grant_id) REFERENCES app_grant
) STRICT, WITHOUT ROWID;

CREATE INDEX app_code_by_grant ON app_code (clinic, grant_id);
CREATE INDEX app_refresh_by_grant ON app_refresh (clinic, grant_id);
CREATE INDEX app_access_by_grant ON app_access (clinic, grant_id);

-- Assertions of apps with a key (RFC 7523): each counts once.
CREATE TABLE app_assertion (
  clinic TEXT NOT NULL,
  client TEXT NOT NULL,
  jti_hash BLOB NOT NULL CHECK (length(jti_hash) = 32),
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, client, jti_hash),
  FOREIGN KEY (clinic, client) REFERENCES app_client
) STRICT, WITHOUT ROWID;

-- An app that a clinician opens for a patient, until it asks to be let in.
CREATE TABLE app_launch (
  clinic TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  client TEXT NOT NULL,
  user TEXT NOT NULL,
  patient TEXT NOT NULL,
  encounter TEXT,
  created_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (clinic, secret_hash),
  FOREIGN KEY (clinic, client) REFERENCES app_client,
  FOREIGN KEY (clinic, user) REFERENCES staff_user,
  FOREIGN KEY (clinic, patient) REFERENCES patient
) STRICT, WITHOUT ROWID;

-- Keys of id tokens. The newest that has been public for long enough signs; older ones verify until nothing that they signed
-- lives.
CREATE TABLE app_key (
  clinic TEXT NOT NULL REFERENCES clinic,
  -- RFC 7638 thumbprint.
  id TEXT NOT NULL,
  -- PKCS#8; gone once it signs no more.
  private_key BLOB,
  -- RFC 7517.
  public_key TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  signs_from INTEGER NOT NULL,
  retired_at INTEGER,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;
