//! Edge function: payments.
