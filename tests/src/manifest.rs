//! The application with jobs at other times, or with rows of its own: a folder that holds its manifest and leads to the rest.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::network::root;

/// A copy of the manifest, for as long as this lives.
pub struct Manifest {
    folder: tempfile::TempDir,
}

impl Manifest {
    /// With other times of some jobs, by their ids.
    pub fn with_jobs(jobs: &[(&str, &str)]) -> Result<Self> {
        let (root, folder) = (root()?, tempfile::tempdir()?);
        let mut manifest: toml::Table = std::fs::read_to_string(root.join("spin.toml"))?.parse()?;
        let crons = manifest["trigger"]["cron"].as_array_mut().context("no jobs")?;
        for (id, expression) in jobs {
            let job = crons.iter_mut().find(|job| job["id"].as_str() == Some(id));
            job.with_context(|| format!("no job {id}"))?["cron_expression"] = (*expression).into();
        }
        std::fs::write(folder.path().join("spin.toml"), toml::to_string(&manifest)?)?;
        for name in ["web", "docs"] {
            symlink(root.join(name), folder.path().join(name))?;
        }
        let functions = folder.path().join("edge-functions");
        std::fs::create_dir_all(functions.join("migrations"))?;
        symlink(root.join("edge-functions/build"), functions.join("build"))?;
        for entry in std::fs::read_dir(root.join("edge-functions/migrations"))? {
            let entry = entry?;
            std::fs::copy(entry.path(), functions.join("migrations").join(entry.file_name()))?;
        }
        Ok(Self { folder })
    }

    /// One more migration (`sql` or `backfill.sql`), which runs when the network is started the next time.
    pub fn migrate(&self, kind: &str, sql: &str) -> Result<()> {
        let migrations = self.folder.path().join("edge-functions/migrations");
        let number = std::fs::read_dir(&migrations)?.count() + 1;
        Ok(std::fs::write(migrations.join(format!("{number:04}_of_a_test.{kind}")), sql)?)
    }

    /// What `locum up --manifest` takes.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }
}
