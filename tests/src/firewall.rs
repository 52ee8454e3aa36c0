//! Cuts between addresses, with nftables, in the namespace of one test.

use std::net::IpAddr;

use anyhow::Result;

use crate::alone::run;

const CUTS: &str = "inet faults cuts";
const RULES: &str = "table inet faults {
    set cuts { type ipv4_addr . ipv4_addr; }
    set doors { type ipv4_addr . inet_service; }
    chain arriving {
        type filter hook input priority 0;
        ip saddr . ip daddr @cuts drop;
        ip saddr . tcp dport @doors drop;
        ip saddr . udp dport @doors drop;
    }
}";
const DOORS: &str = "inet faults doors";

/// What does not arrive. Nothing is refused: whoever sends hears nothing, as on a network that is broken.
pub struct Firewall(());

impl Firewall {
    /// Everything passes.
    pub fn open() -> Result<Self> {
        run("nft", &[RULES])?;
        Ok(Self(()))
    }

    /// Nothing of what `from` sends reaches any of `to`.
    pub fn cut_one_way(&self, from: IpAddr, to: &[IpAddr]) -> Result<()> {
        to.iter().try_for_each(|to| run("nft", &[&format!("add element {CUTS} {{ {from} . {to} }}")]))
    }

    /// Nothing passes between `one` and any of `others`.
    pub fn cut(&self, one: IpAddr, others: &[IpAddr]) -> Result<()> {
        self.cut_one_way(one, others)?;
        others.iter().try_for_each(|other| self.cut_one_way(*other, &[one]))
    }

    /// Nothing of what `from` sends reaches any of these ports, whatever address they are on.
    pub fn shut(&self, from: IpAddr, ports: &[u16]) -> Result<()> {
        ports.iter().try_for_each(|port| run("nft", &[&format!("add element {DOORS} {{ {from} . {port} }}")]))
    }

    /// Everything passes again.
    pub fn heal(&self) -> Result<()> {
        run("nft", &[&format!("flush set {CUTS}; flush set {DOORS}")])
    }
}
