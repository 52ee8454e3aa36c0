//! Processes of a running network that are to be started again. Whoever owns the network's folder asks by a file in
//! it; `locum up` starts them, so that they end with it like all the others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use locum_identity::Role;

const FOLDER: &str = "run/again";

/// Asks for `name`, which is dead. Its ready file goes: the next one is of the new process.
pub(crate) fn ask(network: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(network.join(format!("run/{name}.json"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = network.join(FOLDER);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), "")
}

/// Whether `name` was asked for and nobody has started it yet.
#[cfg(test)]
pub(crate) fn is_asked(network: &Path, name: &str) -> bool {
    network.join(FOLDER).join(name).exists()
}

/// A process that was asked for.
pub(super) struct Asked {
    /// Its name, that of its configuration file.
    pub name: String,
    /// What it does.
    pub role: Role,
    request: PathBuf,
}

impl Asked {
    /// It was started, or cannot be.
    pub(super) fn done(&self) {
        // A request that stays is carried out once more at worst, and finds the process running.
        let _ = fs::remove_file(&self.request);
    }
}

/// What was asked for. A name that is no process of this network is forgotten.
pub(super) fn asked(network: &Path) -> Vec<Asked> {
    let Ok(entries) = fs::read_dir(network.join(FOLDER)) else { return Vec::new() };
    let known = |entry: io::Result<fs::DirEntry>| {
        let request = entry.ok()?.path();
        let name = request.file_name()?.to_str()?.to_owned();
        let role = role_of(&name).filter(|_| network.join(format!("{name}.toml")).is_file());
        if role.is_none() {
            let _ = fs::remove_file(&request);
        }
        Some(Asked { role: role?, name, request })
    };
    entries.filter_map(known).collect()
}

/// By its name, which begins with it.
pub(crate) fn role_of(process: &str) -> Option<Role> {
    process.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_the_network_are_started_again() {
        let network = tempfile::tempdir().unwrap();
        let folder = network.path();
        fs::create_dir(folder.join("run")).unwrap();
        assert!(asked(folder).is_empty());
        for name in ["edge-us-east", "media-us-east"] {
            fs::write(folder.join(format!("{name}.toml")), "").unwrap();
        }
        fs::write(folder.join("run/edge-us-east.json"), "{}").unwrap();
        for name in ["edge-us-east", "edge-elsewhere", "sh"] {
            ask(folder, name).unwrap();
        }
        assert!(!folder.join("run/edge-us-east.json").exists(), "it was the dead process's");
        let found = asked(folder);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].role), ("edge-us-east", Role::Edge));
        assert!(is_asked(folder, "edge-us-east") && !is_asked(folder, "sh"));
        found[0].done();
        assert!(!is_asked(folder, "edge-us-east"));
    }
}
