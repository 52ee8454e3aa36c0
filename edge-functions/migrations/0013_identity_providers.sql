-- Who else vouches for a clinic's staff (OpenID Connect). A host of the release before knows nobody by it.

CREATE TABLE identity_provider (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  issuer TEXT NOT NULL,
  client_id TEXT NOT NULL,
  -- As a key of an authenticator app: what has to be shown again cannot be kept as a hash.
  client_secret TEXT NOT NULL,
  -- Whether the secret goes in a header or in the form.
  client_auth TEXT NOT NULL CHECK (client_auth IN ('basic', 'post')),
  authorization_endpoint TEXT NOT NULL,
  token_endpoint TEXT NOT NULL,
  jwks_uri TEXT NOT NULL,
  -- Values of `acr` and `amr` that stand for a second factor, one a line.
  second_factor TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  UNIQUE (clinic, issuer, client_id)
) STRICT, WITHOUT ROWID;

-- Who somebody is there: found out by signing in there while signed in here.
CREATE TABLE staff_identity (
  clinic TEXT NOT NULL,
  provider TEXT NOT NULL,
  subject TEXT NOT NULL,
  user TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, provider, subject),
  UNIQUE (clinic, provider, user),
  FOREIGN KEY (clinic, provider) REFERENCES identity_provider,
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

-- A question to one of them, by the secret in the cookie of the browser that carries it there.
CREATE TABLE external_sign_in (
  clinic TEXT NOT NULL,
  secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
  provider TEXT NOT NULL,
  state_hash BLOB NOT NULL CHECK (length(state_hash) = 32),
  nonce TEXT NOT NULL,
  verifier TEXT NOT NULL,
  -- Whose account is to be tied; NULL: somebody signs in.
  user TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, secret_hash),
  FOREIGN KEY (clinic, provider) REFERENCES identity_provider,
  FOREIGN KEY (clinic, user) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX external_sign_in_by_time ON external_sign_in (clinic, created_at);
