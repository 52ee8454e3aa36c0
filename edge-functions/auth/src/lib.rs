//! Edge function: auth.
