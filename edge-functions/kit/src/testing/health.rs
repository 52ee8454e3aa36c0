//! Which routes show health data, as their host reads it in `spin.toml`.

use std::sync::LazyLock;

const MANIFEST: &str = include_str!("../../../../spin.toml");
const CLINIC: &str = "/c/:clinic";

static ROUTES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let manifest: toml::Table = MANIFEST.parse().unwrap();
    let components = manifest["component"].as_table().unwrap().values();
    let health = components.filter_map(|component| component.get("tool")?["locum"].get("health")?.as_array());
    let route = |route: &toml::Value| route.as_str().unwrap().strip_prefix(CLINIC).unwrap().to_owned();
    health.flatten().map(route).collect()
});

/// The routes, below a clinic.
pub fn health_routes() -> &'static [String] {
    &ROUTES
}

/// Whether the answer to a path below a clinic, with its query, shows health data.
pub(super) fn shows_health_data(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or(path);
    let fits = |route: &String| {
        let (wanted, given): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
        wanted.len() == given.len() && wanted.iter().zip(given).all(|(w, g)| w.starts_with(':') || *w == g)
    };
    ROUTES.iter().any(fits)
}
