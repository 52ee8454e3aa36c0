-- What a patient and the clinic write to each other: one conversation for each account, read here only. Outside goes a link.
CREATE TABLE thread (
  clinic TEXT NOT NULL,
  account TEXT NOT NULL,
  last_at INTEGER NOT NULL,
  -- 1: the patient wrote last.
  waits INTEGER NOT NULL CHECK (waits IN (0, 1)),
  -- When the patient was last told of something new.
  told_at INTEGER,
  PRIMARY KEY (clinic, account),
  FOREIGN KEY (clinic, account) REFERENCES patient_account
) STRICT, WITHOUT ROWID;

CREATE INDEX thread_by_time ON thread (clinic, waits, last_at);

CREATE TABLE thread_message (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  account TEXT NOT NULL,
  -- NULL: the patient; else a member of staff.
  author TEXT,
  body TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, account) REFERENCES patient_account,
  FOREIGN KEY (clinic, author) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX thread_message_by_account ON thread_message (clinic, account, sent_at);

-- Who is to be seen again, when, and why: health data, which no message carries.
CREATE TABLE recall (
  clinic TEXT NOT NULL,
  id TEXT NOT NULL,
  -- The visit it was planned at.
  appointment TEXT NOT NULL,
  reason TEXT NOT NULL,
  due_on TEXT NOT NULL,
  -- After the next visit, again so many months later.
  interval_months INTEGER CHECK (interval_months BETWEEN 1 AND 60),
  status TEXT NOT NULL CHECK (status IN ('open', 'booked', 'closed')),
  planned_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  last_attempt_at INTEGER,
  -- The visit that ended it.
  booked TEXT,
  ended_at INTEGER,
  PRIMARY KEY (clinic, id),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment,
  FOREIGN KEY (clinic, booked) REFERENCES appointment,
  FOREIGN KEY (clinic, planned_by) REFERENCES staff_user
) STRICT, WITHOUT ROWID;

CREATE INDEX recall_to_do ON recall (clinic, due_on) WHERE status = 'open';

CREATE TABLE recall_attempt (
  clinic TEXT NOT NULL,
  recall TEXT NOT NULL,
  number INTEGER NOT NULL,
  at INTEGER NOT NULL,
  message TEXT NOT NULL,
  -- NULL: by itself.
  by TEXT,
  PRIMARY KEY (clinic, recall, number),
  FOREIGN KEY (clinic, recall) REFERENCES recall
) STRICT, WITHOUT ROWID;

CREATE INDEX appointment_by_creation ON appointment (clinic, created_at);
