//! Edge function: records.
