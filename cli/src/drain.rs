//! `locum drain` and `locum undrain`, `locum pin` and `locum unpin`: what a person wants of the network until it is
//! taken back. The control plane keeps it, and its own program asks for it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::control::Place;

/// Options of `locum drain` and `locum undrain`.
#[derive(Args)]
pub(crate) struct Drain {
    /// A node, or a region.
    name: String,
    /// Carry it out, and wait until it is so; without it, what would follow is only shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Options of `locum pin`.
#[derive(Args)]
pub(crate) struct Pin {
    /// Where the group should be led.
    region: String,
    #[command(flatten)]
    group: Group,
}

/// Options of `locum unpin`, and of `locum pin`.
#[derive(Args)]
pub(crate) struct Group {
    /// The record group.
    #[arg(long, default_value = "main")]
    group: String,
    /// Carry it out, and wait until it is so; without it, what would follow is only shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Has `locum-control drain` or `locum-control undrain` do it.
pub(crate) async fn drain(task: &str, options: &Drain) -> Result<ExitCode> {
    options.place.control().await?.run(task, &drain_words(options)).await
}

/// Has `locum-control pin` do it.
pub(crate) async fn pin(options: &Pin) -> Result<ExitCode> {
    let words = [group_words(&options.group), named(&options.region)].concat();
    options.group.place.control().await?.run("pin", &words).await
}

/// Has `locum-control unpin` do it.
pub(crate) async fn unpin(options: &Group) -> Result<ExitCode> {
    options.place.control().await?.run("unpin", &group_words(options)).await
}

fn drain_words(options: &Drain) -> Vec<String> {
    [said(options.yes), named(&options.name)].concat()
}

fn group_words(options: &Group) -> Vec<String> {
    [vec!["--group".to_owned(), options.group.clone()], said(options.yes)].concat()
}

fn said(yes: bool) -> Vec<String> {
    yes.then(|| "--yes".to_owned()).into_iter().collect()
}

/// Behind `--`: a name that looks like an option is none.
fn named(name: &str) -> Vec<String> {
    vec!["--".to_owned(), name.to_owned()]
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Asked<T: Args> {
        #[command(flatten)]
        options: T,
    }

    #[test]
    fn nothing_is_carried_out_unless_it_was_said() {
        let drain = |words: &[&str]| drain_words(&Asked::parse_from(words).options).join(" ");
        assert_eq!(drain(&["", "us-west"]), "-- us-west");
        assert_eq!(drain(&["", "us-west", "--yes"]), "--yes -- us-west");
        let group = |words: &[&str]| group_words(&Asked::parse_from(words).options).join(" ");
        assert_eq!(group(&[""]), "--group main");
        assert_eq!(group(&["", "--group", "eu", "--yes"]), "--group eu --yes");
    }
}
