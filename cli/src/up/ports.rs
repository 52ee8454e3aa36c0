//! Which ports a network on this machine uses.

use std::net::{TcpListener, UdpSocket};

use anyhow::{Context, Result};
use clap::Args;

/// Port options; 0 lets the system choose.
#[derive(Args, Clone, Copy)]
pub(super) struct Ports {
    /// Pages and API, TCP. With 0 the system chooses this and every port that is not given.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// Signalling of calls, TCP [default: 7880].
    #[arg(long, value_name = "PORT")]
    signal_port: Option<u16>,
    /// Media of calls, UDP [default: 7881].
    #[arg(long, value_name = "PORT")]
    media_port: Option<u16>,
    /// The mesh between nodes, UDP [default: 4443].
    #[arg(long, value_name = "PORT")]
    mesh_port: Option<u16>,
}

impl Ports {
    /// Pages and API.
    pub(super) fn http(self) -> u16 {
        self.port
    }

    /// Signalling.
    pub(super) fn signal(self) -> u16 {
        self.or_default(self.signal_port, 7880)
    }

    /// Media.
    pub(super) fn media(self) -> u16 {
        self.or_default(self.media_port, 7881)
    }

    /// Mesh.
    pub(super) fn mesh(self) -> u16 {
        self.or_default(self.mesh_port, 4443)
    }

    /// Finds a taken port before anything is started, when the message can still name the option.
    pub(super) fn check(self) -> Result<()> {
        let taken = |port: u16, option: &str| format!("port {port} is taken: choose another with {option}");
        for (port, option) in [(self.http(), "--port"), (self.signal(), "--signal-port")] {
            TcpListener::bind(("127.0.0.1", port)).with_context(|| taken(port, option))?;
        }
        for (port, option) in [(self.media(), "--media-port"), (self.mesh(), "--mesh-port")] {
            UdpSocket::bind(("127.0.0.1", port)).with_context(|| taken(port, option))?;
        }
        Ok(())
    }

    fn or_default(self, given: Option<u16>, default: u16) -> u16 {
        given.unwrap_or(if self.port == 0 { 0 } else { default })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(port: u16, signal_port: Option<u16>) -> Ports {
        Ports { port, signal_port, media_port: Some(0), mesh_port: Some(0) }
    }

    #[test]
    fn zero_frees_every_port_that_is_not_given() {
        assert_eq!(ports(0, None).signal(), 0);
        assert_eq!(ports(0, Some(7000)).signal(), 7000);
        assert_eq!(ports(9000, None).signal(), 7880);
    }

    #[test]
    fn a_taken_port_is_named_with_its_option() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let error = ports(0, Some(port)).check().unwrap_err().to_string();
        assert_eq!(error, format!("port {port} is taken: choose another with --signal-port"));
        assert!(ports(0, Some(0)).check().is_ok());
    }
}
