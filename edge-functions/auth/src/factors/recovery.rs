//! Recovery codes: ten, each good once, for the day when phone and key are lost.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::ids::UserId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::{self, Secret};
use serde::{Deserialize, Serialize};

use crate::account::Account;

const CODES: usize = 10;
/// Crockford's Base32: nothing in it reads as something else.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 16;

/// A code as somebody types it: case, blanks and dashes do not matter.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Code(String);

impl TryFrom<String> for Code {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |c: char| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        let code: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).map(plain).collect();
        let fits = code.len() == LENGTH && code.bytes().all(|byte| LETTERS.contains(&byte));
        if fits { Ok(Self(code)) } else { Err("must be 16 letters and digits") }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Codes {
    recovery_codes: Vec<String>,
}

/// `POST /auth/recovery-codes`: new ones; the old ones are worth nothing any more.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let account = Account::with_id(context, context.staff()?.user).await?;
    if account.factors.is_empty() {
        let title = "Add a second factor first: recovery codes stand in for one";
        return Err(Problem::new(StatusCode::CONFLICT, "no-factor", title));
    }
    let recovery_codes = renew(context, account.user.id).await?;
    context.audit(Action::RecoveryCodesMade, Some(&account.user.id));
    reply::json(StatusCode::CREATED, &Codes { recovery_codes })
}

/// Replaces somebody's codes; in groups of four.
pub(crate) async fn renew(context: &Context<'_>, user: UserId) -> Result<Vec<String>, Problem> {
    let mut shown = Vec::with_capacity(CODES);
    let codes = (0..CODES).map(|_| code()).collect::<Result<Vec<_>, _>>()?;
    context
        .transaction(async || {
            let sql = "DELETE FROM recovery_code WHERE clinic = ? AND user = ?";
            context.database().execute(sql, params![&context.clinic, user]).await?;
            for code in &codes {
                let sql =
                    "INSERT INTO recovery_code (clinic, user, code_hash, created_at) VALUES (?, ?, ?, ?)";
                let hash = Secret::presented(code).hash();
                context.database().execute(sql, params![&context.clinic, user, hash, context.now]).await?;
            }
            Ok(())
        })
        .await?;
    for code in &codes {
        let groups: Vec<&str> = (0..LENGTH / 4).map(|group| &code[group * 4..group * 4 + 4]).collect();
        shown.push(groups.join("-"));
    }
    Ok(shown)
}

/// Whether `code` is one of theirs that was not used: it is now.
pub(crate) async fn spend(context: &Context<'_>, user: UserId, code: &Code) -> Result<bool, Problem> {
    let sql = "UPDATE recovery_code SET used_at = ?
               WHERE clinic = ? AND user = ? AND code_hash = ? AND used_at IS NULL";
    let values = params![context.now, &context.clinic, user, Secret::presented(&code.0).hash()];
    Ok(context.database().execute(sql, values).await? == 1)
}

/// 80 random bits.
fn code() -> Result<String, secret::RandomError> {
    let bytes = secret::random::<LENGTH>()?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let read = |text: &str| Code::try_from(text.to_owned()).ok().map(|code| code.0);
        let wanted = Some("0abc1def1ghjkmnp".to_owned());
        for text in ["0abc-1def-1ghj-kmnp", "OABC IDEF LGHJ KMNP", "0abc1def1ghjkmnp"] {
            assert_eq!(read(text), wanted, "{text}");
        }
        for text in
            ["", "0abc-1def-1ghj-kmn", "0abc-1def-1ghj-kmnu", "0abc-1def-1ghj-kmnpp", "äabc-1def-1ghj-kmnp"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn codes_are_fresh() {
        let (one, two) = (code().unwrap(), code().unwrap());
        assert!(one != two && Code::try_from(one).is_ok());
    }
}
