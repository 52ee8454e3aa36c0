//! `spin:variables`: a component's own variables, filled in at each call.

use wasmtime::component::Accessor;

use super::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use super::{Spin, View};

impl Host for View<'_> {}

impl<T: Send> HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        accessor.with(|mut access| {
            let view = access.get();
            let environment = &view.platform.environment;
            let template = environment.templates.get(&name).ok_or(Error::Undefined(name))?;
            let rendered = template.render(|variable| environment.variables.get(variable));
            rendered.map_err(|missing| Error::Undefined(missing.to_owned()))
        })
    }
}
