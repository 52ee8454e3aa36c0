//! Which ports a network on this machine uses.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::{Context, Result};
use clap::Args;

use super::regions::{Controller, Edge, MOST, MOST_EDGES, Region, controllers};

/// Port options; 0 lets the system choose. They are the first region's; the next region's lie one behind.
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
    /// The mesh between nodes, UDP: the control plane's, and behind it the edge hosts' and the media nodes' [default:
    /// 4443].
    #[arg(long, value_name = "PORT")]
    mesh_port: Option<u16>,
}

/// Where a port lies, and the option that moves it.
enum Place {
    Tcp(u16, &'static str),
    Udp(Ipv4Addr, u16, &'static str),
}

impl Ports {
    /// Pages and API of an edge host.
    pub(super) fn http(self, edge: u8) -> u16 {
        behind(self.port, edge)
    }

    /// Signalling of a region.
    pub(super) fn signal(self, region: u8) -> u16 {
        behind(self.or_default(self.signal_port, 7880), region)
    }

    /// Media of a region.
    pub(super) fn media(self, region: u8) -> u16 {
        behind(self.or_default(self.media_port, 7881), region)
    }

    /// Mesh of the control plane.
    pub(super) fn mesh(self) -> u16 {
        self.or_default(self.mesh_port, 4443)
    }

    /// Mesh of an edge host.
    pub(super) fn edge_mesh(self, edge: u8) -> u16 {
        behind(self.mesh(), edge + 1)
    }

    /// Mesh of a region's media node.
    pub(super) fn media_mesh(self, region: u8) -> u16 {
        behind(self.mesh(), region + 1 + MOST * MOST_EDGES)
    }

    /// Finds a taken port before anything is started, when the message can still name the option.
    pub(super) fn check(self, regions: &[Region]) -> Result<()> {
        let of_edge = |edge: &Edge| {
            [
                Place::Tcp(self.http(edge.index), "--port"),
                Place::Udp(edge.mesh, self.edge_mesh(edge.index), "--mesh-port"),
            ]
        };
        let of_region = |region: &Region| {
            let media = [
                Place::Tcp(self.signal(region.index), "--signal-port"),
                Place::Udp(Ipv4Addr::LOCALHOST, self.media(region.index), "--media-port"),
                Place::Udp(region.edge.mesh, self.media_mesh(region.index), "--mesh-port"),
            ];
            region.edges().flat_map(of_edge).chain(media).collect::<Vec<_>>()
        };
        let of_member = |member: Controller| Place::Udp(member.mesh, self.mesh(), "--mesh-port");
        // Held until all are: a port that two of them want is taken as well.
        let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
        for place in regions.iter().flat_map(of_region).chain(controllers(regions).into_iter().map(of_member))
        {
            let (Place::Tcp(port, option) | Place::Udp(_, port, option)) = place;
            let taken = || format!("port {port} is taken: choose another with {option}");
            match place {
                Place::Tcp(..) => {
                    streams.push(TcpListener::bind(("127.0.0.1", port)).with_context(taken)?);
                }
                Place::Udp(address, ..) => {
                    datagrams.push(UdpSocket::bind((address, port)).with_context(taken)?);
                }
            }
        }
        Ok(())
    }

    fn or_default(self, given: Option<u16>, default: u16) -> u16 {
        given.unwrap_or(if self.port == 0 { 0 } else { default })
    }
}

/// 0 stays 0: the system chooses each. The end of the range is the end: there the next is taken.
fn behind(port: u16, by: u8) -> u16 {
    if port == 0 { 0 } else { port.saturating_add(by.into()) }
}

#[cfg(test)]
impl Default for Ports {
    fn default() -> Self {
        Self { port: 8080, signal_port: None, media_port: None, mesh_port: None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::regions::regions;
    use super::*;

    fn ports(port: u16, signal_port: Option<u16>) -> Ports {
        Ports { port, signal_port, media_port: Some(0), mesh_port: Some(0) }
    }

    #[test]
    fn each_region_has_ports_of_its_own() {
        let ports = Ports::default();
        assert_eq!([0, 1, 2].map(|region| ports.http(region)), [8080, 8081, 8082]);
        assert_eq!([0, 1, 2].map(|region| ports.media(region)), [7881, 7882, 7883]);
        assert_eq!(
            (ports.mesh(), [0, 1, 2].map(|region| ports.edge_mesh(region))),
            (4443, [4444, 4445, 4446])
        );
        assert_eq!([0, 1, 2].map(|region| ports.media_mesh(region)), [4450, 4451, 4452]);
        let ports_at_the_end = Ports { signal_port: Some(65_535), port: 0, ..ports };
        let chosen = Ports { port: 0, ..Ports::default() };
        assert_eq!((chosen.http(2), chosen.edge_mesh(2)), (0, 0));
        let error = ports_at_the_end.check(&regions(2)).unwrap_err().to_string();
        assert_eq!(error, "port 65535 is taken: choose another with --signal-port");
    }

    #[test]
    fn zero_frees_every_port_that_is_not_given() {
        assert_eq!(ports(0, None).signal(0), 0);
        assert_eq!(ports(0, Some(7000)).signal(0), 7000);
        assert_eq!(ports(9000, None).signal(0), 7880);
    }

    #[test]
    fn a_taken_port_is_named_with_its_option() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let error = ports(0, Some(port)).check(&regions(1)).unwrap_err().to_string();
        assert_eq!(error, format!("port {port} is taken: choose another with --signal-port"));
        assert!(ports(0, Some(0)).check(&regions(3)).is_ok());
    }
}
