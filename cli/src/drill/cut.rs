//! A region cut off from the others on the mesh, with rules of this machine's firewall. They end by themselves when
//! nobody renews them: however this program ends, no cut outlives it for long.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

/// Nobody else uses it, so a table of this name was left behind by an earlier drill.
const TABLE: &str = "inet locum_drill";
/// A rule that is not renewed ends after so long.
const LASTS_S: u32 = 30;
const RENEW_EVERY: Duration = Duration::from_secs(10);

/// Nothing passes between two sets of addresses. Whoever sends hears nothing, as on a network that is broken.
#[derive(Debug)]
pub(super) struct Cut {
    renewing: JoinHandle<()>,
}

impl Cut {
    /// Cuts `region` off from `others`.
    pub(super) async fn make(region: &BTreeSet<IpAddr>, others: &BTreeSet<IpAddr>) -> Result<Self> {
        if let Some(shared) = region.intersection(others).next() {
            bail!("{shared} is an address of this region and of another: a cut would be no cut");
        }
        remove();
        let elements = elements(region, others);
        let output = nft(&format!("{RULES}{elements}")).await.context("run nft: install nftables")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or_default();
            bail!(
                "a partition is made with rules of the firewall (nftables), which only root may set: {said}"
            );
        }
        let renewing = tokio::spawn(async move {
            // In one transaction, so that nothing passes between.
            let renewal = format!("flush set {TABLE} cuts\n{elements}");
            loop {
                tokio::time::sleep(RENEW_EVERY).await;
                let _ = nft(&renewal).await;
            }
        });
        Ok(Self { renewing })
    }

    /// Everything passes again.
    pub(super) fn heal(&self) -> Result<()> {
        self.renewing.abort();
        if remove() {
            Ok(())
        } else {
            bail!("the firewall's table {TABLE} could not be removed: nft delete table {TABLE}")
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // Healed already, usually; removing what is not there is no harm.
        self.renewing.abort();
        remove();
    }
}

const RULES: &str = "table inet locum_drill {
    set cuts { type ipv4_addr . ipv4_addr; flags timeout; }
    chain arriving { type filter hook input priority 0; ip saddr . ip daddr @cuts drop; }
}
";

fn elements(region: &BTreeSet<IpAddr>, others: &BTreeSet<IpAddr>) -> String {
    let mut text = String::new();
    for one in region {
        for other in others {
            for (from, to) in [(one, other), (other, one)] {
                let _ = writeln!(text, "add element {TABLE} cuts {{ {from} . {to} timeout {LASTS_S}s }}");
            }
        }
    }
    text
}

/// Whether there is no such table any more.
fn remove() -> bool {
    let delete = || {
        Command::new("nft").args(["delete", "table"]).args(TABLE.split(' ')).stderr(Stdio::null()).status()
    };
    let list = || Command::new("nft").args(["list", "table"]).args(TABLE.split(' ')).output();
    delete().is_ok_and(|status| status.success()) || list().is_ok_and(|output| !output.status.success())
}

async fn nft(rules: &str) -> io::Result<Output> {
    let mut command = tokio::process::Command::new("nft");
    command
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut nft = command.spawn()?;
    if let Some(mut input) = nft.stdin.take() {
        input.write_all(rules.as_bytes()).await?;
    }
    nft.wait_with_output().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_cut_and_every_rule_ends_by_itself() {
        let of = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let text = elements(&of(&["127.0.1.1"]), &of(&["127.0.2.1", "127.0.4.1"]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.ends_with(" timeout 30s }")));
        assert!(text.contains("{ 127.0.4.1 . 127.0.1.1 ") && text.contains("{ 127.0.1.1 . 127.0.2.1 "));
        assert!(RULES.contains(TABLE));
    }

    #[tokio::test]
    async fn a_shared_address_is_refused() {
        let of = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let error = Cut::make(&of(&["127.0.1.1"]), &of(&["127.0.1.1"])).await.unwrap_err().to_string();
        assert!(error.contains("127.0.1.1"), "{error}");
    }
}
