//! What a node that was taken over could still do: tried by a process in the same sandbox.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use locum_media::sandbox::{self, Folders, Part};
use support::Node;

/// Names the folder in which this process is to try things, itself being in the sandbox.
const TRY_IN: &str = "LOCUM_TRY_IN";

fn is_denied<T>(what: &str, tried: io::Result<T>) {
    let error = tried.err().unwrap_or_else(|| panic!("{what}: it was done"));
    // What may not go to another folder, Landlock says is on another disk.
    let denials = [io::ErrorKind::PermissionDenied, io::ErrorKind::CrossesDevices];
    assert!(denials.contains(&error.kind()), "{what}: {error}");
}

/// Everything a thief would do next. The test's own thread is the sandbox.
fn try_everything(dir: &Path) {
    let (own, other) = (dir.join("own"), dir.join("other"));
    let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
    let folders = Folders { own: vec![own.clone()], read: Vec::new() };
    let closed = sandbox::close(&folders).unwrap();
    assert_eq!((closed.files, closed.calls), (Part::Whole, Part::Whole), "on the kernels that run tests");

    is_denied("write beside", fs::write(other.join("new"), "x"));
    is_denied("write over", fs::write(other.join("file"), "x"));
    is_denied("read beside", fs::read(other.join("file")));
    is_denied("link out", fs::hard_link(other.join("file"), own.join("link")));
    is_denied("move out", fs::rename(own.join("file"), other.join("moved")));
    is_denied("remove beside", fs::remove_file(other.join("file")));
    is_denied("write to a device", fs::OpenOptions::new().write(true).open("/dev/null"));
    fs::write(own.join("program"), "#!/bin/sh\n").unwrap();
    is_denied("execute", Command::new("/bin/true").status());
    is_denied("execute its own", Command::new(own.join("program")).status());
    is_denied("call somebody", TcpStream::connect(somebody.local_addr().unwrap()));
    is_denied("listen", TcpListener::bind("127.0.0.1:0"));
    let socket = |domain| socket2::Socket::new(domain, socket2::Type::RAW, None);
    is_denied("see all packets", socket(socket2::Domain::PACKET));
    is_denied("read keys", keyring());

    fs::write(own.join("file"), "x").unwrap();
    fs::rename(own.join("file"), own.join("moved")).unwrap();
    fs::read("/etc/hostname").map(drop).or_else(ignore_missing).unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7, "threads are no processes");
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[allow(unsafe_code, reason = "no safe way calls what nothing calls")]
fn keyring() -> io::Result<()> {
    // SAFETY: `KEYCTL_GET_KEYRING_ID` (0) of the session's keyring (-3) reads no memory.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, 0, -3, 0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn whoever_takes_the_process_over_has_its_folder_and_its_sockets() {
    if let Some(dir) = std::env::var_os(TRY_IN) {
        return try_everything(&PathBuf::from(dir));
    }
    let dir = tempfile::tempdir().unwrap();
    for (folder, file) in [("own", "file"), ("other", "file")] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        fs::write(dir.path().join(folder).join(file), "x").unwrap();
    }
    let name = "whoever_takes_the_process_over_has_its_folder_and_its_sockets";
    let mut itself = Command::new(std::env::current_exe().unwrap());
    let output = itself.args([name, "--exact", "--nocapture"]).env(TRY_IN, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(fs::read_dir(dir.path().join("other")).unwrap().count(), 1);
}

#[test]
fn a_node_says_that_it_is_closed_and_no_thread_is_outside() {
    let node = Node::start();
    for part in ["files", "calls"] {
        let share = node.metric("locum_media_sandbox", &format!("part=\"{part}\""));
        assert!((share - 1.0).abs() < f64::EPSILON, "{part}: {share}");
    }
    let threads = fs::read_dir(format!("/proc/{}/task", node.id())).unwrap();
    for thread in threads {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let has = |line: &str| status.lines().any(|own| own.split_whitespace().eq(line.split(' ')));
        assert!(has("NoNewPrivs: 1") && has("Seccomp: 2") && has("Seccomp_filters: 2"), "{status}");
    }
}
