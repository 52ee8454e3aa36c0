//! Edge function: scheduling.
