//! Processes of this machine as proc(5) shows them, and signals to them.

use std::fs;
use std::path::Path;

/// What a process is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    /// It is gone, as after a power cut.
    Kill,
    /// It stands still; its sockets stay open.
    Stop,
    /// It goes on.
    Continue,
}

/// Tells a process. One that is gone already is no error.
#[allow(unsafe_code)]
pub(crate) fn tell(process: u32, signal: Signal) {
    let signal = match signal {
        Signal::Kill => libc::SIGKILL,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    unsafe { libc::kill(process.cast_signed(), signal) };
}

/// Whether a process was started with this configuration file: ids are used again, and a signal must not meet
/// somebody else.
pub(crate) fn runs(process: u32, config: &Path) -> bool {
    is_alive(process) && words(process).iter().any(|word| word == config.as_os_str().as_encoded_bytes())
}

/// Whether one of the words that a process was started with holds this text.
pub(crate) fn mentions(process: u32, text: &str) -> bool {
    words(process).iter().any(|word| String::from_utf8_lossy(word).contains(text))
}

fn words(process: u32) -> Vec<Vec<u8>> {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// Neither gone nor waiting to be missed by whoever started it.
pub(crate) fn is_alive(process: u32) -> bool {
    stat(process).is_some_and(|stat| stat.state != 'Z' && stat.state != 'X')
}

/// Whether it stands still.
pub(crate) fn is_stopped(process: u32) -> bool {
    stat(process).is_some_and(|stat| stat.state == 'T')
}

/// Its children whose name is `name`.
pub(crate) fn children(process: u32, name: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| stat(*id).is_some_and(|stat| stat.parent == process && stat.name == name)).collect()
}

struct Stat {
    name: String,
    state: char,
    parent: u32,
}

fn stat(process: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// The name may hold anything, brackets too; it ends at the last one.
fn parse(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split_whitespace();
    Some(Stat { name, state: fields.next()?.chars().next()?, parent: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_may_hold_brackets() {
        let stat = parse("17 (a) S (b)) T 5 17 17 0").unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.parent), ("a) S (b)", 'T', 5));
        assert!(parse("").is_none());
    }

    #[test]
    fn a_process_stops_goes_on_and_dies() {
        let mut sleeper = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let id = sleeper.id();
        let waits_for = |holds: &dyn Fn() -> bool| {
            (0..100_000).any(|_| {
                holds() || {
                    std::thread::yield_now();
                    false
                }
            })
        };
        assert!(waits_for(&|| runs(id, Path::new("60"))), "it is being started");
        assert!(!runs(id, Path::new("61")));
        assert!(children(std::process::id(), "sleep").contains(&id));
        assert!(mentions(id, "slee") && !mentions(id, "records"));
        tell(id, Signal::Stop);
        assert!(waits_for(&|| is_stopped(id)));
        tell(id, Signal::Continue);
        assert!(waits_for(&|| !is_stopped(id)));
        tell(id, Signal::Kill);
        assert!(waits_for(&|| !is_alive(id)), "a zombie does not live");
        sleeper.wait().unwrap();
        assert!(!runs(id, Path::new("60")));
    }
}
