//! Media node: LiveKit signalling and a forwarding unit for encrypted calls.
fn main() {}
