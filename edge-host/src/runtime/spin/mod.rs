//! The `spin:*` interfaces that a component may import. One file a capability.

mod key_value;
mod sqlite;
mod variables;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};

use super::Environment;
use super::wasi::CallState;
use crate::store::Session;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from wit/")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "locum:edge/platform",
        imports: {
            "spin:key-value/key-value.[method]store.get-keys": async | trappable,
            default: async,
        },
        with: {
            "spin:sqlite/sqlite.connection": super::sqlite::Connection,
            "spin:key-value/key-value.store": super::key_value::Store,
        },
    });
}

/// What the interfaces need of the call.
pub(super) struct Platform {
    environment: Arc<Environment>,
    session: Option<Arc<dyn Session>>,
    clinic: String,
}

/// A borrowed look at the call's state.
pub(super) struct View<'a> {
    pub(super) platform: &'a mut Platform,
    pub(super) table: &'a mut ResourceTable,
}

/// Names [`View`] to the generated code.
struct Spin;

impl HasData for Spin {
    type Data<'a> = View<'a>;
}

impl Platform {
    pub(super) fn new(
        environment: Arc<Environment>,
        session: Option<Arc<dyn Session>>,
        clinic: String,
    ) -> Self {
        Self { environment, session, clinic }
    }
}

pub(super) fn add_to_linker(
    linker: &mut Linker<CallState>,
    view: fn(&mut CallState) -> View<'_>,
) -> wasmtime::Result<()> {
    bindings::spin::sqlite::sqlite::add_to_linker::<CallState, Spin>(linker, view)?;
    bindings::spin::key_value::key_value::add_to_linker::<CallState, Spin>(linker, view)?;
    bindings::spin::variables::variables::add_to_linker::<CallState, Spin>(linker, view)
}
