//! Logs, metrics, health endpoints and drain of a process.
