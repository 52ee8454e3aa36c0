-- What media nodes tell of calls, once each: ids and times. A visit is metered by it. Much of it comes when the room is gone
-- already, so what leads from a call's random names to the visit is kept here as well.
CREATE TABLE call_meter (
  clinic TEXT NOT NULL,
  sink TEXT NOT NULL,
  appointment TEXT NOT NULL,
  PRIMARY KEY (clinic, sink),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE INDEX call_meter_by_sink ON call_meter (sink);

CREATE TABLE call_person (
  clinic TEXT NOT NULL,
  appointment TEXT NOT NULL,
  participant TEXT NOT NULL,
  person TEXT NOT NULL,
  PRIMARY KEY (clinic, appointment, participant),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE TABLE call_event (
  clinic TEXT NOT NULL,
  -- The node, which start of it, and how many events that start had told before.
  node TEXT NOT NULL,
  start TEXT NOT NULL,
  sequence INTEGER NOT NULL CHECK (sequence >= 0),
  appointment TEXT NOT NULL,
  -- As in call_person.
  participant TEXT NOT NULL,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('joined', 'present', 'gap', 'left', 'token-refused')),
  -- One participant's time at one node, by one join.
  stay TEXT,
  gap_ms INTEGER CHECK (gap_ms >= 0),
  reason TEXT,
  PRIMARY KEY (clinic, node, start, sequence),
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE INDEX call_event_by_appointment ON call_event (clinic, appointment);

-- By the database, so that calls which hosts of the release before open while hosts are upgraded are metered too.
CREATE TRIGGER room_is_metered AFTER INSERT ON room
BEGIN INSERT INTO call_meter VALUES (NEW.clinic, NEW.sink, NEW.appointment); END;
CREATE TRIGGER participant_is_metered AFTER INSERT ON room_participant
BEGIN INSERT INTO call_person VALUES (NEW.clinic, NEW.appointment, NEW.name, NEW.person); END;
