//! One track on its way to one receiver: which layer it gets, and packets that read as one stream.

mod keyframe;
mod leg;
mod numbers;
mod vp8;

pub use leg::{ForwardLeg, Outgoing};
