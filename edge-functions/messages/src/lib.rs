//! Edge function: messages.
