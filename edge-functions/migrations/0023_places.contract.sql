-- The last word on double booking counts places. Until then a time has one place only.
DROP INDEX appointment_once;
CREATE UNIQUE INDEX appointment_once ON appointment (clinic, practitioner, start_at, place)
  WHERE status IN ('booked', 'arrived', 'fulfilled');
