//! A folder or a bucket, as named by `to = "…"`.

use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use locum_identity::private_file;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreExt};

use crate::folder;

/// What marks a bucket: `s3://bucket` or `s3://bucket/below`.
const BUCKET: &str = "s3://";
/// No object of ours is larger: a chunk of pages that does not compress, and what seals it.
const MAX_OBJECT_BYTES: u64 = 64 << 20;
/// For the largest object over a slow line.
const REQUEST_WITHIN: &str = "120 seconds";

/// Where backups are kept. Objects are written whole or not at all.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    below: Path,
    name: String,
    /// Of a place that is no bucket.
    folder: Option<PathBuf>,
}

/// An object that was found.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Listed {
    /// Within the place.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// When it was written last.
    pub(crate) at: Timestamp,
}

/// How a bucket is reached. What is not given is taken from the usual `AWS_…` variables.
#[derive(Clone, Default)]
pub struct BucketAccess {
    /// URL of an S3-compatible service.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Name of the access key.
    pub access_key_id: Option<String>,
    /// The access key.
    pub secret_access_key: Option<String>,
}

/// Not a place for backups.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Neither a folder nor a bucket.
    #[error("`{0}` is neither a folder nor s3://bucket")]
    Malformed(String),
    /// The folder.
    #[error("use folder {path}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The service.
    #[error("use {name}")]
    Store {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

/// An object cannot be written, read or removed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {name}")]
pub struct ObjectError {
    /// What was being done.
    pub doing: &'static str,
    /// With the place it is in.
    pub name: String,
    /// Why.
    #[source]
    pub source: object_store::Error,
}

impl Place {
    /// Opens a folder, which is made when `make` says so, or a bucket.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn open(to: &str, access: &BucketAccess, make: bool) -> Result<Self, PlaceError> {
        match to.strip_prefix(BUCKET) {
            Some(bucket) => Self::bucket(to, bucket, access),
            None if to.contains("://") || to.is_empty() => Err(PlaceError::Malformed(to.to_owned())),
            None => Self::folder(FilePath::new(to), make),
        }
    }

    fn folder(path: &FilePath, make: bool) -> Result<Self, PlaceError> {
        let folder_error = |source| PlaceError::Folder { path: path.to_owned(), source };
        if make {
            private_file::create_dir(path).map_err(folder_error)?;
        }
        // Whole paths, so that an error's text names the file wherever the program stands.
        let path = path.canonicalize().map_err(folder_error)?;
        let name = path.display().to_string();
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(|source| PlaceError::Store { name: name.clone(), source })?;
        let store = Arc::new(store.with_fsync(true));
        Ok(Self { store, below: Path::default(), name, folder: Some(path) })
    }

    fn bucket(to: &str, bucket: &str, access: &BucketAccess) -> Result<Self, PlaceError> {
        let (bucket, below) = bucket.split_once('/').unwrap_or((bucket, ""));
        let below = Path::parse(below).map_err(|_| PlaceError::Malformed(to.to_owned()))?;
        // The one TLS provider of this workspace; a second call finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
        let mut builder =
            AmazonS3Builder::from_env().with_bucket_name(bucket).with_config(timeout, REQUEST_WITHIN);
        if let Some(endpoint) = &access.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &access.region {
            builder = builder.with_region(region);
        }
        if let (Some(id), Some(secret)) = (&access.access_key_id, &access.secret_access_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let name = to.trim_end_matches('/').to_owned();
        let store = builder.build().map_err(|source| PlaceError::Store { name: name.clone(), source })?;
        Ok(Self { store: Arc::new(store), below, name, folder: None })
    }

    /// Where an object lies, for people.
    pub fn show(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// Writes an object, whole or not at all.
    pub(crate) async fn put(&self, name: &str, object: Vec<u8>) -> Result<(), ObjectError> {
        let put = self.store.put(&self.path(name), object.into()).await;
        put.map(drop).map_err(self.error("write", name))
    }

    /// Reads an object; `None` when there is none.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>, ObjectError> {
        let got = match self.store.get(&self.path(name)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(self.error("read", name))?,
        };
        if got.meta.size > MAX_OBJECT_BYTES {
            let source = object_store::Error::Generic { store: "backup", source: "it is too large".into() };
            return Err(self.error("read", name)(source));
        }
        got.bytes().await.map(Some).map_err(self.error("read", name))
    }

    /// Removes an object; one that is gone already is no error.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ObjectError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.error("remove", name)(source)),
        }
    }

    /// Removes everything below `name`.
    pub(crate) async fn remove_below(&self, name: &str) -> Result<(), ObjectError> {
        for listed in self.list(name).await? {
            self.remove(&listed.name).await?;
        }
        if let Some(folder) = &self.folder {
            folder::remove(&folder.join(name)).await.map_err(self.file_error("remove", name))?;
        }
        Ok(())
    }

    /// Removes what processes that were killed left of objects they were writing, once it is older than `age`.
    /// A bucket has nothing of the kind: there an object appears whole.
    pub(crate) async fn sweep(&self, age: Duration) -> Result<u64, ObjectError> {
        match &self.folder {
            Some(folder) => folder::sweep(folder, age).await.map_err(self.file_error("sweep", "")),
            None => Ok(0),
        }
    }

    /// The objects below `name`, sorted by name.
    pub(crate) async fn list(&self, name: &str) -> Result<Vec<Listed>, ObjectError> {
        let below = self.path(name);
        let metas: Vec<_> =
            self.store.list(Some(&below)).try_collect().await.map_err(self.error("list", name))?;
        let listed = |meta: object_store::ObjectMeta| {
            let at = Timestamp::from_second(meta.last_modified.timestamp()).ok()?;
            Some(Listed { name: self.name_of(&meta.location)?, bytes: meta.size, at })
        };
        let mut found: Vec<_> = metas.into_iter().filter_map(listed).collect();
        found.sort();
        Ok(found)
    }

    /// The folders right below `name`, sorted; the last part of their names only.
    pub(crate) async fn folders(&self, name: &str) -> Result<Vec<String>, ObjectError> {
        let below = self.path(name);
        let listed = self.store.list_with_delimiter(Some(&below)).await.map_err(self.error("list", name))?;
        let mut found: Vec<_> =
            listed.common_prefixes.iter().filter_map(|prefix| Some(prefix.filename()?.to_owned())).collect();
        found.sort();
        Ok(found)
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').filter(|part| !part.is_empty()).fold(self.below.clone(), |path, part| path.join(part))
    }

    fn name_of(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.below)?.map(|part| part.as_ref().to_owned()).collect();
        Some(parts.join("/"))
    }

    fn file_error(&self, doing: &'static str, name: &str) -> impl Fn(io::Error) -> ObjectError + use<> {
        let error = self.error(doing, name);
        move |source| error(object_store::Error::Generic { store: "backup", source: source.into() })
    }

    fn error(&self, doing: &'static str, name: &str) -> impl Fn(object_store::Error) -> ObjectError + use<> {
        let name = self.show(name);
        move |source| ObjectError { doing, name: name.clone(), source }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.name).finish()
    }
}

impl fmt::Debug for BucketAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketAccess").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
