-- Money: what a visit costs, how it is paid, and books that are only added to.

-- How a clinic is paid. Without a row: what a no-show costs is all, and who likes pays at the clinic.
CREATE TABLE payment_settings (
  clinic TEXT NOT NULL PRIMARY KEY REFERENCES clinic,
  -- What of the price somebody pays who does not come.
  no_show_percent INTEGER NOT NULL CHECK (no_show_percent BETWEEN 0 AND 100),
  -- Whether one may also pay at the clinic where cards are taken.
  at_clinic INTEGER NOT NULL CHECK (at_clinic IN (0, 1))
) STRICT, WITHOUT ROWID;

-- The price of these is of one participant's minute, as the call is metered. Others' is of the visit.
CREATE TABLE service_per_minute (
  clinic TEXT NOT NULL,
  service TEXT NOT NULL,
  PRIMARY KEY (clinic, service),
  FOREIGN KEY (clinic, service) REFERENCES service
) STRICT, WITHOUT ROWID;

-- One, two, three in each clinic. What was metered is known after the visit only.
ALTER TABLE invoice ADD COLUMN number INTEGER;
ALTER TABLE invoice ADD COLUMN metered_ms INTEGER CHECK (metered_ms >= 0);

CREATE INDEX invoice_by_number ON invoice (clinic, number);

UPDATE invoice SET number = (
  SELECT count(*) FROM invoice o
  WHERE o.clinic = invoice.clinic AND (o.issued_at, o.id) <= (invoice.issued_at, invoice.id));

-- What it is for, as it was called and as much as it cost then. A reduction is a negative line. Invoices of the release
-- before have none.
CREATE TABLE invoice_line (
  clinic TEXT NOT NULL,
  invoice TEXT NOT NULL,
  place INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('visit', 'minutes', 'no-show')),
  text TEXT NOT NULL,
  quantity INTEGER NOT NULL CHECK (quantity >= 0),
  unit_minor INTEGER NOT NULL,
  PRIMARY KEY (clinic, invoice, place),
  FOREIGN KEY (clinic, invoice) REFERENCES invoice
) STRICT, WITHOUT ROWID;

-- The books. A row is both sides of an entry at once, so they balance whatever is written; its name says what happened,
-- so that it is written once however often it is told.
CREATE TABLE ledger (
  clinic TEXT NOT NULL REFERENCES clinic,
  posting TEXT NOT NULL,
  -- NULL: taken by the provider for nothing that was booked.
  invoice TEXT,
  debit TEXT NOT NULL
    CHECK (debit IN ('receivable', 'revenue', 'refunds', 'provider', 'cash', 'terminal', 'transfer')),
  credit TEXT NOT NULL
    CHECK (credit IN ('receivable', 'revenue', 'refunds', 'provider', 'cash', 'terminal', 'transfer')),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
  currency TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (clinic, posting),
  CHECK (debit <> credit),
  FOREIGN KEY (clinic, invoice) REFERENCES invoice
) STRICT, WITHOUT ROWID;

CREATE INDEX ledger_by_invoice ON ledger (clinic, invoice);
CREATE INDEX ledger_by_time ON ledger (clinic, at);

CREATE TRIGGER ledger_is_kept BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the books are kept'); END;
CREATE TRIGGER ledger_is_final BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the books are final'); END;

INSERT INTO ledger (clinic, posting, invoice, debit, credit, amount_minor, currency, at)
SELECT clinic, 'issued/' || id, id, 'receivable', 'revenue', amount_minor, currency, issued_at
FROM invoice WHERE amount_minor > 0;
INSERT INTO ledger (clinic, posting, invoice, debit, credit, amount_minor, currency, at)
SELECT clinic, 'cancelled/' || id, id, 'revenue', 'receivable', amount_minor, currency, cancelled_at
FROM invoice WHERE amount_minor > 0 AND cancelled_at IS NOT NULL;

-- By the database, so that what hosts of the release before write while hosts are upgraded is in the books too.
CREATE TRIGGER invoice_is_numbered AFTER INSERT ON invoice WHEN NEW.number IS NULL
BEGIN
  UPDATE invoice
  SET number = 1 + (SELECT coalesce(max(number), 0) FROM invoice WHERE clinic = NEW.clinic)
  WHERE clinic = NEW.clinic AND id = NEW.id;
END;
CREATE TRIGGER invoice_is_booked AFTER INSERT ON invoice WHEN NEW.amount_minor > 0
BEGIN
  INSERT INTO ledger (clinic, posting, invoice, debit, credit, amount_minor, currency, at)
  SELECT NEW.clinic, 'issued/' || NEW.id, NEW.id, 'receivable', 'revenue', NEW.amount_minor, NEW.currency,
         NEW.issued_at
  WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE clinic = NEW.clinic AND posting = 'issued/' || NEW.id);
END;
-- What was not paid is not owed any more.
CREATE TRIGGER invoice_is_called_off AFTER UPDATE OF cancelled_at ON invoice
WHEN OLD.cancelled_at IS NULL AND NEW.cancelled_at IS NOT NULL
BEGIN
  INSERT INTO ledger (clinic, posting, invoice, debit, credit, amount_minor, currency, at)
  SELECT NEW.clinic, 'cancelled/' || NEW.id, NEW.id, 'revenue', 'receivable', owed.minor, NEW.currency,
         NEW.cancelled_at
  FROM (SELECT sum(CASE 'receivable' WHEN debit THEN amount_minor WHEN credit THEN -amount_minor ELSE 0 END) AS minor
        FROM ledger WHERE clinic = NEW.clinic AND invoice = NEW.id) AS owed
  WHERE owed.minor > 0;
END;

-- A hold that is paid for by card, at a provider. Until it is authorised there is no appointment, so whom it is for
-- stands here; then that is taken away.
CREATE TABLE card_payment (
  clinic TEXT NOT NULL,
  hold TEXT NOT NULL,
  provider TEXT NOT NULL,
  -- The provider's names: of what is captured, of what saves a card, of whom the card is kept for, of the card.
  intent TEXT,
  setup TEXT,
  customer TEXT,
  method TEXT,
  state TEXT NOT NULL
    CHECK (state IN ('open', 'saved', 'declined', 'authorised', 'cancelled', 'captured')),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
  currency TEXT NOT NULL,
  appointment TEXT,
  -- It was authorised too late: the time was somebody else's by then.
  lost_at INTEGER,
  -- JSON.
  patient TEXT,
  created_at INTEGER NOT NULL,
  -- When it is to be looked at again.
  due_at INTEGER NOT NULL,
  -- Why the provider last said no, in its words.
  refusal TEXT,
  PRIMARY KEY (clinic, hold),
  FOREIGN KEY (clinic, hold) REFERENCES hold,
  FOREIGN KEY (clinic, appointment) REFERENCES appointment
) STRICT, WITHOUT ROWID;

CREATE INDEX card_payment_by_due ON card_payment (clinic, due_at);
CREATE INDEX card_payment_by_appointment ON card_payment (clinic, appointment);
CREATE INDEX card_payment_by_intent ON card_payment (clinic, intent);
CREATE INDEX card_payment_by_setup ON card_payment (clinic, setup);

-- What the provider is asked to do with money, each under a key of ours: written before it is asked, and once.
CREATE TABLE provider_call (
  clinic TEXT NOT NULL,
  key TEXT NOT NULL,
  hold TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('charge', 'capture', 'cancel', 'refund')),
  amount_minor INTEGER CHECK (amount_minor > 0),
  created_at INTEGER NOT NULL,
  done_at INTEGER,
  -- The provider's word.
  outcome TEXT CHECK (outcome IN ('done', 'refused')),
  refusal TEXT,
  PRIMARY KEY (clinic, key),
  FOREIGN KEY (clinic, hold) REFERENCES card_payment
) STRICT, WITHOUT ROWID;

CREATE INDEX provider_call_open ON provider_call (clinic, hold) WHERE done_at IS NULL;

-- What the provider told of itself, once each.
CREATE TABLE provider_event (
  clinic TEXT NOT NULL REFERENCES clinic,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (clinic, id)
) STRICT, WITHOUT ROWID;
