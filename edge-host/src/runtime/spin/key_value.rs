//! `spin:key-value` on the clinic's record group.

use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use super::{Spin, View};
use crate::store::{KeyValueError, KeyValueStore};

/// The keys of a store and how reading them ended.
type Keys = (StreamReader<String>, FutureReader<Result<(), Error>>);

impl Host for View<'_> {}

impl HostStore for View<'_> {
    async fn drop(&mut self, store: Resource<KeyValueStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl<T: Send> HostStoreWithStore<T> for Spin {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Result<Resource<KeyValueStore>, Error> {
        accessor.with(|mut access| {
            let view = access.get();
            if !view.platform.environment.key_value_stores.contains(&label) {
                return Err(Error::AccessDenied);
            }
            let session = view.platform.session.clone().ok_or(Error::NoSuchStore)?;
            let store = KeyValueStore::new(session, label, view.platform.clinic.clone());
            view.table.push(store).map_err(|_| Error::StoreTableFull)
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        find(accessor, &store)?.get(&key).await.map_err(other)
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        find(accessor, &store)?.set(&key, value).await.map_err(other)
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<(), Error> {
        find(accessor, &store)?.delete(&key).await.map_err(other)
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
        key: String,
    ) -> Result<bool, Error> {
        find(accessor, &store)?.exists(&key).await.map_err(other)
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<KeyValueStore>,
    ) -> wasmtime::Result<Keys> {
        let read = match find(accessor, &store) {
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

fn find<T: Send>(
    accessor: &Accessor<T, Spin>,
    store: &Resource<KeyValueStore>,
) -> Result<KeyValueStore, Error> {
    let found = accessor.with(|mut access| access.get().table.get(store).cloned());
    found.map_err(|_| Error::NoSuchStore)
}

fn other(error: KeyValueError) -> Error {
    Error::Other(error.to_string())
}
