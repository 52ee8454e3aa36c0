//! Tests that drive the running network from outside.
