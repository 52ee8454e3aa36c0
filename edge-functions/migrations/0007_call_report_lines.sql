-- How everybody's sound and pictures travelled when somebody said that something was wrong, as their page measured it.
CREATE TABLE call_report_line (
  clinic TEXT NOT NULL,
  report TEXT NOT NULL,
  -- As in call_person.
  participant TEXT NOT NULL,
  loss_permille INTEGER,
  round_trip_ms INTEGER,
  sound_kbps INTEGER,
  picture_kbps INTEGER,
  width INTEGER,
  height INTEGER,
  PRIMARY KEY (clinic, report, participant),
  FOREIGN KEY (clinic, report) REFERENCES call_report
) STRICT, WITHOUT ROWID;
