//! Compiled components on disk, so that only the first start compiles.
//!
//! The file's name is the hash of the component's bytes and of everything about this engine that matters to
//! its code; another release or setting is another name. The folder is private to this user (0700), because
//! loading a file runs it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use locum_identity::private_file;
use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::FunctionEngine;

/// A component could not be compiled or its code not kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The cache's folder or file.
    #[error("cache {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a component.
    #[error("wasmtime")]
    Compile(#[source] wasmtime::Error),
}

impl FunctionEngine {
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<Component, CacheError> {
        let path = self.cache.join(self.file_name(bytes));
        if path.exists() {
            self.is_ours_alone()?;
            match self.load_compiled(&path) {
                Ok(component) => return Ok(component),
                // Cut short by a full disk, say: compile again and replace it.
                Err(error) => tracing::warn!(%error, "compiled component does not load"),
            }
        }
        let compiled = self.engine.precompile_component(bytes).map_err(CacheError::Compile)?;
        let file_error = |source| CacheError::File { path: path.clone(), source };
        private_file::create_dir(&self.cache).map_err(file_error)?;
        // Hosts that share the folder may compile the same at once: under a name of its own until it is whole.
        let own = path.with_extension(uuid::Uuid::new_v4().simple().to_string());
        private_file::write(&own, &compiled).map_err(file_error)?;
        std::fs::rename(&own, &path).map_err(file_error)?;
        self.load_compiled(&path).map_err(CacheError::Compile)
    }

    /// Loading code from a folder that others can write would let them run theirs.
    fn is_ours_alone(&self) -> Result<(), CacheError> {
        let file_error = |source| CacheError::File { path: self.cache.clone(), source };
        let mode = std::fs::metadata(&self.cache).map_err(file_error)?.permissions().mode();
        if mode & 0o022 == 0 {
            return Ok(());
        }
        Err(file_error(io::Error::new(io::ErrorKind::PermissionDenied, "others may write to it")))
    }

    #[allow(unsafe_code)]
    fn load_compiled(&self, path: &Path) -> wasmtime::Result<Component> {
        // SAFETY: the file was written whole by this host, into a folder only its user can write; wasmtime
        // compares its own version and settings before it uses the code.
        unsafe { Component::deserialize_file(&self.engine, path) }
    }

    fn file_name(&self, bytes: &[u8]) -> String {
        let mut engine = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut engine);
        let content: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{content}-{:016x}.cwasm", engine.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn hosts_that_share_a_folder_compile_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let compile = || {
            let engine = FunctionEngine::new(&Limits::default(), folder.path().join("cache")).unwrap();
            engine.compile(b"\0asm\x0d\0\x01\0").map(drop)
        };
        for _ in 0..20 {
            std::thread::scope(|scope| {
                let compiling = [scope.spawn(compile), scope.spawn(compile), scope.spawn(compile)];
                compiling.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
            });
            assert_eq!(std::fs::read_dir(folder.path().join("cache")).unwrap().count(), 1);
            std::fs::remove_dir_all(folder.path().join("cache")).unwrap();
        }
    }

    #[test]
    fn compiles_once_and_recovers_from_a_broken_file() {
        let folder = tempfile::tempdir().unwrap();
        let engine = FunctionEngine::new(&Limits::default(), folder.path().join("cache")).unwrap();
        let empty = b"\0asm\x0d\0\x01\0";
        engine.compile(empty).unwrap();
        let path = engine.cache.join(engine.file_name(empty));
        let first = std::fs::metadata(&path).unwrap().modified().unwrap();
        engine.compile(empty).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().modified().unwrap(),
            first,
            "the second time it is found"
        );
        std::fs::write(&path, "broken").unwrap();
        engine.compile(empty).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 6);
        assert!(engine.compile(b"no component").is_err());

        std::fs::set_permissions(&engine.cache, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(engine.compile(empty).is_err(), "code that others may have written is not run");
    }
}
