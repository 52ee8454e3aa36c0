//! Edge host: runs the functions of spin.toml beside the record store.
fn main() {}
