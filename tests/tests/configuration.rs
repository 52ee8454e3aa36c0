//! A configuration with a key nobody knows is refused with exit code 64 and the key's name.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Network, binaries};

#[test]
fn an_unknown_key_stops_each_daemon_and_is_named() -> Result<()> {
    let mut network = Network::start()?;
    network.stop()?;
    let data = network.data();
    for (daemon, process) in [("locum-control", "control"), ("locum-edge", "edge"), ("locum-media", "media")]
    {
        let file = std::fs::read_dir(&data)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(process) && name.ends_with(".toml")
            })
            .with_context(|| format!("no configuration of {process} in {}", data.display()))?;
        let check = |path| {
            Command::new(binaries()?.join(daemon))
                .arg("--check")
                .arg("--config")
                .arg(path)
                .output()
                .with_context(|| format!("run {daemon}"))
        };
        let good = check(&file)?;
        ensure!(good.status.success(), "{daemon} refuses what `locum up` wrote: {good:?}");
        let altered = file.with_extension("altered.toml");
        let text = format!("lisen = \"127.0.0.1:1\"\n{}", std::fs::read_to_string(&file)?);
        std::fs::write(&altered, text)?;
        let refused = check(&altered)?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(refused.status.code() == Some(64), "{daemon}: {refused:?}");
        ensure!(said.contains("lisen"), "{daemon} does not name the key: {said}");
        if daemon == "locum-edge" {
            let smtp = "[messages.smtp]\nhost = \"smtp.example.org\"\ntls = \"on-loopback-only\"\nfrom = \"a@example.org\"\n";
            std::fs::write(&altered, format!("{}\n{smtp}", std::fs::read_to_string(&file)?))?;
            let refused = check(&altered)?;
            let said = String::from_utf8_lossy(&refused.stderr);
            let named = refused.status.code() == Some(64) && said.contains("messages.smtp.tls");
            ensure!(named, "mail without TLS to another machine: {refused:?}");
        }
    }
    Ok(())
}
