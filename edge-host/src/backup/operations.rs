//! What an operator on this machine asks a running host: one line of JSON in, one line out, over a socket in
//! the host's own folder, which nobody else can reach.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::keeper::Ask;
use crate::store::GroupId;

/// Its name in the host's folder.
pub(crate) const SOCKET: &str = "operations.sock";
/// A question is one short line.
const MAX_QUESTION_BYTES: u64 = 4_096;
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "do")]
enum Question {
    /// A whole backup of every group this host leads.
    Backup,
    /// A restore drill of each.
    Drill,
}

pub(crate) type Asks = BTreeMap<GroupId, mpsc::Sender<Ask>>;

/// Listens. A socket that a former process left is replaced.
pub(crate) fn bind(state_dir: &Path) -> io::Result<UnixListener> {
    let path = state_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

/// Answers until `stop`.
pub(crate) async fn serve(listener: UnixListener, asks: Arc<Asks>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            // One after the other: a backup keeps the machine busy enough.
            Ok((stream, _)) => {
                let answered = tokio::select! {
                    answered = answer(stream, &asks) => answered,
                    () = stop.cancelled() => return,
                };
                if let Err(error) = answered {
                    tracing::debug!(%error, "an operator left before the answer");
                }
            }
            Err(error) => tracing::warn!(%error, "operations socket"),
        }
    }
}

async fn answer(stream: UnixStream, asks: &Asks) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MAX_QUESTION_BYTES));
    tokio::time::timeout(ASK_WITHIN, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Question>(&line) {
        Ok(question) => json!({ "groups": each(question, asks).await }),
        Err(_) => json!({ "error": "not a question of this release" }),
    };
    writer.write_all(format!("{answer}\n").as_bytes()).await
}

async fn each(question: Question, asks: &Asks) -> Vec<Value> {
    let mut answers = Vec::new();
    for (group, keeper) in asks {
        let answered = match question {
            Question::Backup => ask(keeper, Ask::Backup).await.map(|taken| {
                json!({
                    "backup": taken.manifest.id,
                    "bytes": u64::from(taken.manifest.pages) * u64::from(taken.manifest.page_bytes),
                    "sealed": taken.manifest.sealed_bytes,
                    "seconds": taken.seconds,
                })
            }),
            Question::Drill => {
                ask(keeper, Ask::Drill).await.map(|result| serde_json::to_value(result).unwrap_or_default())
            }
        };
        answers.push(match answered {
            Ok(mut said) => {
                said["group"] = json!(group);
                said
            }
            Err(problem) => json!({ "group": group, "problem": problem }),
        });
    }
    answers
}

async fn ask<T>(
    keeper: &mpsc::Sender<Ask>,
    question: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Ask,
) -> Result<T, String> {
    let (reply, answer) = oneshot::channel();
    let gone = || "the host is stopping".to_owned();
    keeper.send(question(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}
