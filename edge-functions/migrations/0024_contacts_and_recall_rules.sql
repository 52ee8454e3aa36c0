-- By which way a patient is written to what a clinic sends by itself: where they left a number, it may be a short message.
ALTER TABLE patient_contact ADD COLUMN channel TEXT NOT NULL DEFAULT 'email' CHECK (channel IN ('email', 'sms'));

-- Whoever was seen for a service is to be seen again for it so many months later, unless they were, or have booked.
CREATE TABLE recall_rule (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  service TEXT NOT NULL,
  interval_months INTEGER NOT NULL CHECK (interval_months BETWEEN 1 AND 60),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  -- Up to which visit, by its beginning and its id, everybody was looked at.
  looked_until INTEGER NOT NULL,
  looked_at TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, service) REFERENCES service,
  FOREIGN KEY (clinic, created_by) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX recall_rule_once ON recall_rule (clinic, service) WHERE ended_at IS NULL;

-- By which rule it was planned; NULL: by a clinician, at the visit.
ALTER TABLE recall ADD COLUMN rule TEXT;
-- When to write of it next by itself; 0, of an earlier release: as its other columns say.
ALTER TABLE recall ADD COLUMN next_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX recall_by_rule ON recall (clinic, rule, appointment) WHERE rule IS NOT NULL;
CREATE INDEX recall_next ON recall (clinic, next_at) WHERE status = 'open';
CREATE INDEX recall_by_visit ON recall (clinic, appointment) WHERE status = 'open';
CREATE INDEX recall_by_booking ON recall (clinic, booked) WHERE status = 'booked';

-- Up to which booking recalls were closed.
CREATE TABLE recall_run (
  clinic TEXT NOT NULL PRIMARY KEY REFERENCES clinic,
  booked_until INTEGER NOT NULL,
  booked_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX appointment_by_patient ON appointment (clinic, patient);
CREATE INDEX appointment_by_service ON appointment (clinic, service, start_at, id);

-- What was still missing before a visit, and was written about: each time of it once.
CREATE TABLE chase (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('two-days', 'four-hours')),
  start_at INTEGER NOT NULL,
  -- NULL: nothing was missing, or there was nobody to write to.
  message TEXT,
  planned_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, appointment, kind, start_at),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE INDEX chase_by_message ON chase (clinic, message) WHERE message IS NOT NULL;

-- Messages that a sender takes back, or that come back, are found by whom they went to.
CREATE INDEX outbox_by_recipient ON outbox_message (clinic, lower(recipient)) WHERE state = 'waiting';
