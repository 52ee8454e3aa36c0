-- A visit is put on hold: everybody but the clinicians is out of the call until the patient is let in again.
ALTER TABLE appointment ADD COLUMN held_at INTEGER;
