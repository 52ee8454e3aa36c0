//! The real map of the world's addresses: from where staff sign in is seen, asks for a proof, and a security team is told.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Network, alone, binaries, run, until};
use reqwest::Method;
use serde_json::{Value, json};

/// Of a publisher in Hanover, and of the registry of `br`.
const IN_GERMANY: Ipv4Addr = Ipv4Addr::new(193, 99, 144, 80);
const IN_BRAZIL: Ipv4Addr = Ipv4Addr::new(200, 160, 2, 3);

#[test]
fn a_sign_in_from_another_country_asks_for_a_proof_and_is_told() -> Result<()> {
    alone("a_sign_in_from_another_country_asks_for_a_proof_and_is_told", async || {
        for address in [IN_GERMANY, IN_BRAZIL] {
            run("ip", &["address", "add", &format!("{address}/32"), "dev", "lo"])?;
        }
        let map = binaries()?.join("geography.mmdb");
        ensure!(map.is_file(), "no map at {}", map.display());
        let mut network = Network::start()?;
        let told = network.data().join("security.jsonl");
        network.reconfigure("edge-1", |config| {
            let mut feed = toml::Table::new();
            feed.insert("file".to_owned(), told.to_string_lossy().into_owned().into());
            config.insert("security_feed".to_owned(), feed.into());
        })?;

        let account = network.account("doctor")?;
        let at_home = Browser::from(&network, "eu-central", IpAddr::from(IN_GERMANY))?;
        ensure!(at_home.sign_in(&account).await?.status == 201);
        ensure!(at_home.post("/auth/recovery-codes", &json!({})).await?.status == 201);

        // The same session, carried away.
        let away = at_home.carried_to(&network, IpAddr::from(IN_BRAZIL))?;
        ensure!(away.send(Method::GET, "/auth/session", None).await?.status == 200);
        let refused = away.post("/auth/recovery-codes", &json!({})).await?;
        ensure!(refused.status == 403 && refused.problem() == "proof-required", "{refused:?}");
        ensure!(at_home.post("/auth/recovery-codes", &json!({})).await?.status == 201, "at home it goes on");

        // A sign-in from there.
        let elsewhere = away.another();
        ensure!(elsewhere.sign_in(&account).await?.status == 201);
        let administrator = Browser::from(&network, "eu-central", IpAddr::from(IN_GERMANY))?;
        administrator.sign_in(&network.account("clinic-admin")?).await?;
        let seen = administrator.get("/audit/events?code=new-country").await?;
        ensure!(seen["matched"] == 1, "the doctor alone was somewhere new: {seen}");
        travel_is_told(&told)
    })
}

/// Countries, and no address.
fn travel_is_told(told: &std::path::Path) -> Result<()> {
    let mut text = String::new();
    until("a security team is told", || {
        text = std::fs::read_to_string(told).unwrap_or_default();
        Ok(text.contains("impossible-travel"))
    })?;
    let travel = text.lines().find(|line| line.contains("impossible-travel")).context("no line")?;
    let travel: Value = serde_json::from_str(travel)?;
    ensure!(travel["country"] == "BR" && travel["country_before"] == "DE", "{travel}");
    ensure!(!text.contains("193.99") && !text.contains("200.160"), "an address is nobody's business");
    Ok(())
}
