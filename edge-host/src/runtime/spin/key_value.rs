//! `spin:key-value` on the clinic's record group, and on the list of passwords known from breaches.

use std::sync::Arc;

use locum_breached::Breached;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use super::{Spin, View};
use crate::store::{KeyValueError, KeyValueStore};

/// The label of the list.
const BREACHED: &str = "breached-passwords";

/// What a function has opened.
#[derive(Clone)]
#[allow(unreachable_pub, reason = "generated code names it")]
pub enum Store {
    /// Of the record group.
    Records(KeyValueStore),
    /// SHA-1 hashes, in 40 capital hexadecimal digits, can be asked for; nothing else is there.
    Breached(Arc<Breached>),
}

/// The keys of a store and how reading them ended.
type Keys = (StreamReader<String>, FutureReader<Result<(), Error>>);

impl Host for View<'_> {}

impl HostStore for View<'_> {
    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl<T: Send> HostStoreWithStore<T> for Spin {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Result<Resource<Store>, Error> {
        accessor.with(|mut access| {
            let view = access.get();
            if let (BREACHED, Some(breached)) = (label.as_str(), &view.platform.environment.breached) {
                let store = Store::Breached(Arc::clone(breached));
                return view.table.push(store).map_err(|_| Error::StoreTableFull);
            }
            if !view.platform.environment.key_value_stores.contains(&label) {
                return Err(Error::AccessDenied);
            }
            let session = view.platform.session.clone().ok_or(Error::NoSuchStore)?;
            let store = KeyValueStore::new(session, label, view.platform.clinic.clone());
            view.table.push(Store::Records(store)).map_err(|_| Error::StoreTableFull)
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        records(accessor, &store)?.get(&key).await.map_err(other)
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        records(accessor, &store)?.set(&key, value).await.map_err(other)
    }

    async fn delete(accessor: &Accessor<T, Self>, store: Resource<Store>, key: String) -> Result<(), Error> {
        records(accessor, &store)?.delete(&key).await.map_err(other)
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Result<bool, Error> {
        match find(accessor, &store)? {
            Store::Records(store) => store.exists(&key).await.map_err(other),
            Store::Breached(breached) => is_breached(breached, &key).await,
        }
    }

    async fn get_keys(accessor: &Accessor<T, Self>, store: Resource<Store>) -> wasmtime::Result<Keys> {
        let read = match records(accessor, &store) {
            Ok(store) => store.keys().await.map_err(other),
            Err(error) => Err(error),
        };
        let (keys, end) = match read {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            Ok((keys, FutureReader::new(&mut access, async move { wasmtime::error::Ok(end) })?))
        })
    }
}

fn find<T: Send>(accessor: &Accessor<T, Spin>, store: &Resource<Store>) -> Result<Store, Error> {
    let found = accessor.with(|mut access| access.get().table.get(store).cloned());
    found.map_err(|_| Error::NoSuchStore)
}

/// A store that can be read and written as any.
fn records<T: Send>(accessor: &Accessor<T, Spin>, store: &Resource<Store>) -> Result<KeyValueStore, Error> {
    match find(accessor, store)? {
        Store::Records(store) => Ok(store),
        Store::Breached(_) => Err(Error::AccessDenied),
    }
}

/// One read of a disk.
async fn is_breached(breached: Arc<Breached>, sha1: &str) -> Result<bool, Error> {
    let hash = sha1_of(sha1).ok_or_else(|| Error::Other("a key is a SHA-1 hash".to_owned()))?;
    let read = tokio::task::spawn_blocking(move || breached.contains(&hash)).await;
    match read {
        Ok(Ok(found)) => Ok(found),
        // Which hash was asked for is nobody's business.
        Ok(Err(_)) | Err(_) => Err(Error::Other("the list cannot be read".to_owned())),
    }
}

fn sha1_of(text: &str) -> Option<[u8; 20]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut hash = [0; 20];
    if text.len() != 40 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

fn other(error: KeyValueError) -> Error {
    Error::Other(error.to_string())
}
