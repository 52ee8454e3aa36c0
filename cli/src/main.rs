//! One command to run, watch and exercise a Locum network. (Being written by the integrator: leave this folder alone.)
fn main() {}
