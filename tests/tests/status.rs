//! `locum status --watch` looks again and again; to whoever is no terminal it says so in plain text.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Network, binaries};

/// Ends with its test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_network_is_watched_in_plain_text() -> Result<()> {
    let mut network = Network::start()?;
    let mut command = Command::new(binaries()?.join("locum"));
    command.args(["status", "--watch", "--data"]).arg(network.data()).stdout(Stdio::piped());
    let mut watching = Watching(command.spawn()?);
    let said = BufReader::new(watching.0.stdout.take().context("no stdout")?);
    let mut lines = said.lines();
    let (mut looks, mut text) = (0, String::new());
    // The third look is after a change.
    while looks < 2 || !text.contains("media-1: gone, was up") {
        let line = lines.next().context("it ended")??;
        ensure!(line.chars().count() <= 80 && !line.contains('\u{1b}'), "{line:?}");
        if line.starts_with("locum ") {
            looks += 1;
            if looks == 2 {
                ensure!(text.contains("all is well"), "{text}");
                for process in ["control-1", "edge-1", "media-1"] {
                    ensure!(text.contains(process), "no {process} in {text}");
                }
                network.kill("media-1")?;
            }
        }
        ensure!(looks < 30, "nobody misses what was killed: {text}");
        text += &line;
        text.push('\n');
    }
    Ok(())
}
