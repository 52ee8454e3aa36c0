//! What a folder needs that a bucket does not: folders go with what was in them, and so does what a process
//! that was killed left half written.
//!
//! `object_store` writes `<object>#<number>` first, which it never lists, and renames it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Runs on a thread for what blocks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Removes a folder and all that is in it, if it is there.
pub(crate) async fn remove(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    blocking(move || match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
    .await
}

/// Removes half-written files that are older than `age`; how many.
pub(crate) async fn sweep(folder: &Path, age: Duration) -> io::Result<u64> {
    let folder = folder.to_owned();
    blocking(move || {
        let (mut folders, mut removed) = (vec![folder], 0);
        while let Some(folder) = folders.pop() {
            // Others write and remove here meanwhile: what is gone needs no look.
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let entry = entry?;
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if entry.file_name().to_str().is_some_and(is_half_written)
                    && metadata.modified().is_ok_and(|at| is_older(at, age))
                    && fs::remove_file(entry.path()).is_ok()
                {
                    removed += 1;
                }
            }
        }
        Ok(removed)
    })
    .await
}

fn is_half_written(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_older(at: SystemTime, age: Duration) -> bool {
    SystemTime::now().duration_since(at).is_ok_and(|since| since > age)
}
