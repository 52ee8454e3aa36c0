-- Whoever would come earlier is offered what gets free.
CREATE TABLE waiting_list (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  -- The hold of what is offered, until when.
  offered_hold TEXT,
  offered_until INTEGER,
  PRIMARY KEY (clinic, appointment),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

-- Who says that they come so many minutes late, and when they said it.
ALTER TABLE appointment ADD COLUMN patient_late_minutes INTEGER CHECK (patient_late_minutes BETWEEN 0 AND 240);
ALTER TABLE appointment ADD COLUMN clinic_late_minutes INTEGER CHECK (clinic_late_minutes BETWEEN 0 AND 240);
