//! Who saw and who changed what (45 CFR 164.312(b)).

mod event;
mod frame;
mod log;
mod rows;
#[cfg(test)]
mod testing;
