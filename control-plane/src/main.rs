//! Control-plane member: membership, certificates, the node list.
fn main() {}
