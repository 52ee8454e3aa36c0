//! What is left to whoever takes the process over: the sockets it has, and the folder of its state.
//!
//! Media nodes parse what anybody sends, so this closes before the first packet: no program is executed, no process
//! made, no file written outside the node's own folders, none read outside those and the system's, no TCP connection
//! made (Landlock), and none of the kernel's rarer interfaces is there (seccomp). Both are inherited by every thread,
//! so there must be one only.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use metrics::{describe_gauge, gauge};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use tracing::{info, warn};

/// The newest rules that are asked for. A kernel that knows fewer enforces those.
const RULES: ABI = ABI::V6;

/// Read by the C library and the runtime: names, time zones, how many processors there are.
const SYSTEM_FOLDERS: [&str; 7] = ["/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/dev"];

/// System calls nothing here needs, by what they would be needed for.
const FORBIDDEN: [&[libc::c_long]; 6] = [
    // Other programs, and other processes' memory and files.
    &[
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_memfd_create,
    ],
    // Another view of the file system.
    &[
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_open_by_handle_at,
        libc::SYS_mknodat,
    ],
    // Large interfaces of the kernel, and ways around this filter.
    &[
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_personality,
    ],
    // Keys of others.
    &[libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key],
    // The machine.
    &[
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_syslog,
    ],
    // Somebody else's rights.
    &[
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
    ],
];

/// Calls that make processes, where they are not `clone`.
#[cfg(target_arch = "x86_64")]
const FORKS: [libc::c_long; 2] = [libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const FORKS: [libc::c_long; 0] = [];

/// Kinds of sockets that are used: the node's own, and those of the C library.
const SOCKETS: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Folders that stay open.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// To read and to write.
    pub own: Vec<PathBuf>,
    /// To read.
    pub read: Vec<PathBuf>,
}

/// The sandbox cannot be closed, and not because the kernel knows none.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Landlock.
    #[error("restrict files and connections")]
    Files(#[source] RulesetError),
    /// A folder that is to stay open.
    #[error("open {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: landlock::PathFdError,
    },
    /// Seccomp.
    #[error("restrict system calls")]
    Calls(#[source] seccompiler::Error),
}

/// What the kernel enforces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Closed {
    /// Of files and connections.
    pub files: Part,
    /// Of system calls.
    pub calls: Part,
}

/// How much of a part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// Everything that was asked for.
    Whole,
    /// What this kernel knows of it.
    Some,
    /// Nothing.
    Open,
}

impl Part {
    const fn share(self) -> f64 {
        match self {
            Self::Whole => 1.0,
            Self::Some => 0.5,
            Self::Open => 0.0,
        }
    }
}

/// Closes the sandbox around the calling thread and all that it starts.
///
/// # Errors
/// See [`SandboxError`]. A kernel without Landlock or seccomp is none: it is told by the answer.
pub fn close(folders: &Folders) -> Result<Closed, SandboxError> {
    // In this order: the filter forbids nothing that Landlock is set up with, but it may in time.
    let files = restrict_files(folders)?;
    Ok(Closed { files, calls: restrict_calls()? })
}

/// Says once, in log and metrics, what is enforced.
pub fn report(closed: Closed) {
    describe_gauge!("locum_media_sandbox", "How much of the sandbox the kernel enforces, by part: 1 is all.");
    gauge!("locum_media_sandbox", "part" => "files").set(closed.files.share());
    gauge!("locum_media_sandbox", "part" => "calls").set(closed.calls.share());
    let (files, calls) = (closed.files, closed.calls);
    if (files, calls) == (Part::Whole, Part::Whole) {
        info!("sandbox closed");
    } else {
        warn!(?files, ?calls, "this kernel does not enforce the whole sandbox");
    }
}

fn restrict_files(folders: &Folders) -> Result<Part, SandboxError> {
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(RULES))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(RULES)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(RULES)))
        .and_then(Ruleset::create)
        .map_err(SandboxError::Files)?;
    let own = (AccessFs::from_read(RULES) | AccessFs::from_write(RULES)) & !AccessFs::Execute;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut ruleset = ruleset;
    for (paths, access) in [(&folders.own, own), (&folders.read, read)] {
        for path in paths {
            let folder = PathFd::new(path);
            let folder = folder.map_err(|source| SandboxError::Folder { path: path.clone(), source })?;
            ruleset = ruleset.add_rule(PathBeneath::new(folder, access)).map_err(SandboxError::Files)?;
        }
    }
    let status = ruleset
        .add_rules(path_beneath_rules(SYSTEM_FOLDERS, read))
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(SandboxError::Files)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Part::Whole,
        RulesetStatus::PartiallyEnforced => Part::Some,
        RulesetStatus::NotEnforced => Part::Open,
    })
}

fn restrict_calls() -> Result<Part, SandboxError> {
    let backend = |error| SandboxError::Calls(seccompiler::Error::Backend(error));
    let Ok(architecture) = std::env::consts::ARCH.try_into() else { return Ok(Part::Open) };
    let mut rules: Vec<(i64, Vec<SeccompRule>)> =
        FORBIDDEN.iter().copied().flatten().chain(&FORKS).map(|call| (*call, Vec::new())).collect();
    rules.push((libc::SYS_clone, vec![makes_a_process().map_err(backend)?]));
    rules.push((libc::SYS_socket, vec![rare_socket().map_err(backend)?]));
    let refuse = |errno: libc::c_int| SeccompAction::Errno(errno.unsigned_abs());
    // Its flags are out of a filter's sight. The C library then takes `clone`.
    let unknown = vec![(libc::SYS_clone3, Vec::new())];
    for (rules, action) in [(rules, refuse(libc::EPERM)), (unknown, refuse(libc::ENOSYS))] {
        let filter =
            SeccompFilter::new(rules.into_iter().collect(), SeccompAction::Allow, action, architecture);
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(backend)?;
        match apply_filter(&program) {
            Ok(()) => {}
            Err(seccompiler::Error::Seccomp(error)) if is_unknown(&error) => return Ok(Part::Open),
            Err(error) => return Err(SandboxError::Calls(error)),
        }
    }
    Ok(Part::Whole)
}

/// A thread is a clone with `CLONE_THREAD`; without, it is a process.
fn makes_a_process() -> Result<SeccompRule, seccompiler::BackendError> {
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    SeccompRule::new(vec![SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(thread),
        0,
    )?])
}

fn rare_socket() -> Result<SeccompRule, seccompiler::BackendError> {
    let other = |family: &libc::c_int| {
        let family = u64::from(family.unsigned_abs());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    };
    SeccompRule::new(SOCKETS.iter().map(other).collect::<Result<_, _>>()?)
}

/// A kernel built without seccomp.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}
