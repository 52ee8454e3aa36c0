-- Appointments get another time, or are cancelled. A patient may do so until that many minutes before the start.
ALTER TABLE clinic ADD COLUMN change_until_minutes INTEGER NOT NULL DEFAULT 120 CHECK (change_until_minutes >= 0);

-- How often it was changed: SEQUENCE of a calendar (RFC 5545 §3.8.7.4).
ALTER TABLE appointment ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE appointment ADD COLUMN cancelled_at INTEGER;
ALTER TABLE invoice ADD COLUMN cancelled_at INTEGER;
