//! QUIC connections between nodes under mutual TLS.
