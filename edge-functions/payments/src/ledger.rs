//! The books: double entry, only added to. An entry is one row with both of its sides, under a name of what happened.

use jiff::Timestamp;
use kit::context::Context;
use kit::database::DatabaseError;
use kit::ids::InvoiceId;
use kit::params;
use kit::problem::Problem;

/// Where money is, or what it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Account {
    /// Owed by patients.
    Receivable,
    /// Earned.
    Revenue,
    /// Given back.
    Refunds,
    /// At the provider of card payments.
    Provider,
    /// In the till.
    Cash,
    /// By the card terminal at the desk.
    Terminal,
    /// By bank transfer.
    Transfer,
}

impl Account {
    const ALL: [Self; 7] = [
        Self::Receivable,
        Self::Revenue,
        Self::Refunds,
        Self::Provider,
        Self::Cash,
        Self::Terminal,
        Self::Transfer,
    ];

    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receivable => "receivable",
            Self::Revenue => "revenue",
            Self::Refunds => "refunds",
            Self::Provider => "provider",
            Self::Cash => "cash",
            Self::Terminal => "terminal",
            Self::Transfer => "transfer",
        }
    }

    /// What the database says.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|account| account.as_str() == text)
    }

    /// Whether money itself is there.
    pub const fn is_money(self) -> bool {
        matches!(self, Self::Provider | Self::Cash | Self::Terminal | Self::Transfer)
    }
}

/// An entry.
#[derive(Clone, Debug)]
pub struct Posting {
    /// What happened, and to what: written once.
    pub name: String,
    /// What it is about.
    pub invoice: Option<InvoiceId>,
    /// Where it went.
    pub debit: Account,
    /// Where it came from.
    pub credit: Account,
    /// In minor units.
    pub minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// Writes an entry, unless it is there. Whether it was not.
pub async fn post(context: &Context<'_>, posting: &Posting) -> Result<bool, Problem> {
    let Posting { name, invoice, debit, credit, minor, currency } = posting;
    if *minor <= 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO ledger (clinic, posting, invoice, debit, credit, amount_minor, currency, at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (clinic, posting) DO NOTHING";
    let values = params![
        &context.clinic,
        name.as_str(),
        *invoice,
        debit.as_str(),
        credit.as_str(),
        *minor,
        currency.as_str(),
        context.now
    ];
    Ok(context.database().execute(sql, values).await? > 0)
}

/// What the books say of one invoice, in minor units.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Balance {
    /// Charged, after what was taken off.
    pub charged: i64,
    /// Paid, wherever.
    pub paid: i64,
    /// Given back.
    pub refunded: i64,
}

impl Balance {
    /// What is still to be paid.
    pub const fn owed(&self) -> i64 {
        self.charged - self.paid
    }

    /// Adds an entry.
    pub fn add(&mut self, debit: Account, credit: Account, minor: i64) {
        match (debit, credit) {
            (Account::Receivable, Account::Revenue) => self.charged += minor,
            (Account::Revenue, Account::Receivable) => self.charged -= minor,
            (money, Account::Receivable) if money.is_money() => self.paid += minor,
            (Account::Refunds, money) if money.is_money() => self.refunded += minor,
            _ => {}
        }
    }
}

/// An entry as it stands there.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it went.
    pub debit: Account,
    /// Where it came from.
    pub credit: Account,
    /// In minor units.
    pub minor: i64,
    /// When.
    pub at: Timestamp,
}

/// The entries of an invoice, the first first.
pub async fn of_invoice(context: &Context<'_>, invoice: InvoiceId) -> Result<Vec<Entry>, Problem> {
    let sql = "SELECT debit, credit, amount_minor, at FROM ledger WHERE clinic = ? AND invoice = ?
               ORDER BY at, posting";
    let rows = context.database().query(sql, params![&context.clinic, invoice]).await?;
    let read = |row: &kit::database::Row| -> Result<Entry, DatabaseError> {
        Ok(Entry {
            debit: row.parsed(0, Account::parse)?,
            credit: row.parsed(1, Account::parse)?,
            minor: row.integer(2)?,
            at: row.time(3)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// What they come to.
pub fn balance(entries: &[Entry]) -> Balance {
    let mut balance = Balance::default();
    for entry in entries {
        balance.add(entry.debit, entry.credit, entry.minor);
    }
    balance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_is_what_was_charged_paid_and_given_back() {
        use Account::{Cash, Provider, Receivable, Refunds, Revenue};
        let mut balance = Balance::default();
        for (debit, credit, minor) in [
            (Receivable, Revenue, 6_000),
            (Revenue, Receivable, 1_000),
            (Provider, Receivable, 3_000),
            (Cash, Receivable, 2_000),
            (Refunds, Provider, 500),
        ] {
            balance.add(debit, credit, minor);
        }
        assert_eq!(balance, Balance { charged: 5_000, paid: 5_000, refunded: 500 });
        assert_eq!(balance.owed(), 0);
    }
}
