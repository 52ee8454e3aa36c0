//! Edge function: tokens.
