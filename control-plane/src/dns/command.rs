//! `locum-control dns-key` and `locum-control dns-challenge`: what a person or a script does with the zone.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use locum_identity::{RegionId, Zone};
use std::net::IpAddr;
use std::path::Path;

use super::challenge;
use super::config::{DnsConfig, origin};
use super::place::{Map, Sources};
use super::sources::Files;
use super::zone::keys::{KeyState, ZoneKeys};

/// What to do with the zone's keys.
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make the zone's first key. The zone is signed from then on; hand its DS record to the registrar afterwards.
    Create,
    /// Show the keys and their DS records.
    Show,
    /// Rollover, step 1: publish a next key. Copy the file to every member.
    Roll,
    /// Rollover, step 2, an hour later: sign with it. Copy the file to every member.
    Switch {
        /// Also before resolvers have seen the next key.
        #[arg(long)]
        now: bool,
    },
    /// Rollover, step 3, a day later: forget the last key. Copy the file to every member.
    Retire {
        /// The parent zone has the next key's DS record.
        #[arg(long)]
        parent_has_next: bool,
        /// Also before nothing is kept any more that the last key signed.
        #[arg(long)]
        now: bool,
    },
}

/// Texts under `_acme-challenge`, for certificates by DNS-01.
#[derive(Subcommand)]
pub(crate) enum ChallengeCommand {
    /// Add a text to a name.
    Set {
        /// As `_acme-challenge.app.locum.example`.
        name: String,
        /// What the certificate authority wants to see.
        text: String,
    },
    /// Remove a text of a name, or all of them.
    Clear {
        /// As `_acme-challenge.app.locum.example`.
        name: String,
        /// Only this one.
        text: Option<String>,
    },
}

/// Does something with the zone's keys, and prints what they are then.
pub(crate) fn keys(config: &DnsConfig, zone: &Zone, command: &KeyCommand) -> anyhow::Result<()> {
    let path = config.key_path();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut keys = match command {
        KeyCommand::Create => ZoneKeys::create(path, now_s),
        _ => ZoneKeys::read(path),
    }
    .with_context(|| format!("use {}", path.display()))?;
    match command {
        KeyCommand::Create | KeyCommand::Show => {}
        KeyCommand::Roll => keys.roll(now_s)?,
        KeyCommand::Switch { now } => keys.switch(now_s, *now)?,
        KeyCommand::Retire { parent_has_next, now } => {
            ensure!(*parent_has_next, "ask the parent zone first, and say --parent-has-next");
            keys.retire(now_s, *now)?;
        }
    }
    if !matches!(command, KeyCommand::Create | KeyCommand::Show) {
        keys.save(path)?;
    }
    print(&describe(&keys, zone)?);
    Ok(())
}

/// Sets or clears a text.
pub(crate) fn challenge(state_dir: &Path, zone: &Zone, command: &ChallengeCommand) -> anyhow::Result<()> {
    let path = challenge::path(state_dir);
    match command {
        ChallengeCommand::Set { name, text } => challenge::set(&path, zone, name, text)?,
        ChallengeCommand::Clear { name, text } => challenge::clear(&path, zone, name, text.as_deref())?,
    }
    Ok(())
}

/// Says which regions a client is sent to while all have room, by each source and by all of them.
pub(crate) fn locate(config: &DnsConfig, state_dir: &Path, zone: &Zone, client: IpAddr) -> String {
    let settings = config.settings(zone);
    let mut files = Files::new(config.files(), challenge::path(state_dir), settings.origin, settings.atlas);
    files.refresh();
    let order = |map: &Map| -> String {
        let order: Vec<&str> = map.order(client).iter().map(RegionId::as_str).collect();
        if order.is_empty() { "nothing known".to_owned() } else { order.join(" ") }
    };
    let Sources { overrides, round_trips, geography } = files.sources.clone();
    let alone = [
        ("overrides", Sources { overrides, ..Sources::default() }),
        ("round trips", Sources { round_trips, ..Sources::default() }),
        ("geography", Sources { geography, ..Sources::default() }),
    ];
    let mut text = String::new();
    for (name, sources) in &alone {
        text += &format!("{name:<12} {}\n", order(&Map::new(sources)));
    }
    text + &format!("{:<12} {}\n", "together", order(&files.map))
}

fn describe(keys: &ZoneKeys, zone: &Zone) -> anyhow::Result<String> {
    let mut text = String::new();
    for key in keys.list() {
        let state = match key.state {
            KeyState::Incoming => "incoming",
            KeyState::Active => "active",
            KeyState::Outgoing => "outgoing",
        };
        text += &format!("; key {} is {state} since {} (seconds since 1970)\n", key.tag, key.since);
        text += &format!("{}\n", key.ds(&origin(zone))?);
    }
    Ok(text)
}

/// What was asked for.
#[allow(clippy::print_stdout, reason = "what was asked for")]
pub(crate) fn print(text: &str) {
    print!("{text}");
}
