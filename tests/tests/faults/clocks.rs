//! Wall clocks that jump. Leases, verdicts and epochs count elapsed time, so nothing may come of it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use locum_network_tests::run;

use super::Trial;

/// Longer than any lease, and shorter than what the application itself measures in wall clock time: holds, sign-ins.
const JUMPS: [&str; 3] = ["+60", "-60", "+0"];

/// The clock of the host that leads, of one that follows, or of the leading member of the control plane jumps while it
/// runs: one each round.
#[test]
fn wall_clocks_jump() -> Result<()> {
    let mut round = 0;
    Trial::run("clocks::wall_clocks_jump", async |trial| {
        // What the library keeps there would stay behind when a process is killed.
        run("mount", &["-t", "tmpfs", "tmpfs", "/dev/shm"])?;
        let (leader, [follower, _]) = trial.places().await?;
        let control = trial.network.leading_control().await?;
        let edges = [&leader, &follower].map(|region| (trial.network.edge(region), Some(region)));
        let all = [edges[0].clone(), (control, None), edges[1].clone()];
        let (process, region) = &all[round % all.len()];
        round += 1;
        trial.network.kill(process)?;
        let clock = trial.network.data().join(format!("{process}.clock"));
        set(&clock, "+0")?;
        let (library, path) = (library()?, clock.to_string_lossy().into_owned());
        let variables = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", path.as_str()),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        trial.network.revive_with(process, &variables)?;
        if let Some(region) = region {
            trial.writers.host_is_back(&trial.network, region)?;
        }
        let places = trial.network.places();
        trial.writers.go_on(&places, 2).await?;
        if *process == all[0].0 && trial.network.leader().await? != leader {
            // Another one took over meanwhile.
            let (moved, said) = trial.network.promote(&leader, &["--yes"])?;
            ensure!(moved, "{said}");
            trial.writers.go_on(&places, 2).await?;
        }
        let (leads, epoch) =
            (trial.network.leader().await?, trial.network.control("locum_group_epoch").await?);
        for jump in JUMPS {
            set(&clock, jump)?;
            // Longer than a lease: whoever took the jump for time that passed has let go of it by now.
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            trial.writers.go_on(&places, 2).await.with_context(|| format!("{process} at {jump}"))?;
            let now = trial.network.control("locum_group_epoch").await?;
            ensure!(now == epoch, "{process} at {jump}: epoch {epoch} became {now}");
        }
        ensure!(trial.network.leader().await? == leads, "the primary moved");
        Ok(())
    })
}

fn set(clock: &Path, offset: &str) -> Result<()> {
    let new = clock.with_extension("new");
    std::fs::write(&new, format!("{offset}\n"))?;
    std::fs::rename(new, clock).context("set a clock")
}

/// Of Debian's `libfaketime`, in the folder of this machine's kind.
fn library() -> Result<String> {
    let folders = std::fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|library| library.exists());
    Ok(found.context("no libfaketime: `make test` installs it")?.to_string_lossy().into_owned())
}
