//! A test with network interfaces and mounts of its own: rules of a firewall and full disks are nobody else's, and
//! are gone with its last process.

use std::future::Future;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Set for the test's own process.
const INSIDE: &str = "LOCUM_TEST_ALONE";

/// Runs `test`, which is called `name` by its runner, in namespaces of its own.
pub fn alone<F>(name: &str, test: impl FnOnce() -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"])?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        return runtime.block_on(test());
    }
    let mut itself = Command::new("unshare");
    itself.args(["--net", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        itself.arg("--map-root-user");
    }
    itself.arg(std::env::current_exe()?).args([name, "--exact", "--nocapture", "--test-threads=1"]);
    let output = itself.env(INSIDE, "1").output().context("unshare(1), of util-linux")?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that fits no test would pass by running none.
    let passed = output.status.success() && said.contains("1 passed");
    // The error comes first, and nothing that reads like the end of the outer runner's own report.
    let (said, _) = said.split_once("\nfailures:").unwrap_or((&said, ""));
    ensure!(passed, "{}\n{said}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Runs a program of the system to its end.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    Ok(())
}
