//! One command to run, watch and exercise a Locum network.
fn main() {}
