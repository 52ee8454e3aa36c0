//! The memory of a process is never written to a file: it holds what people entrusted to it, and keys.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// A core dump of so many bytes holds nothing. Handlers behind a pipe get all of it whatever the limit, but for
/// this one (core(5), and `do_coredump` in the kernel).
const LIMIT_BYTES: u64 = 1;

/// No core dump of this process, nor of those that it starts, which inherit the limit. Nobody but root may attach
/// to it either. First of all in `main`.
///
/// # Errors
/// When the system does not allow it: then the process should not go on.
pub fn forbid() -> io::Result<()> {
    let most = getrlimit(Resource::Core).maximum.map_or(LIMIT_BYTES, |most| most.min(LIMIT_BYTES));
    setrlimit(Resource::Core, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
