//! A token works no more once its bearer was removed or the visit was ended, at no node, and who is in on it is put out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt as _;
use locum_network_tests::{Answer, Browser, Network, Patient, Visit};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// The promise.
const OUT_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_is_out_of_the_call_on_every_node_and_stays_out() -> Result<()> {
    let network = Network::start_regions(2)?;
    let regions = network.regions();
    let [first, second] = &regions[..] else { anyhow::bail!("not two regions") };
    let nodes = [
        network.address(&network.media(first), "signal")?,
        network.address(&network.media(second), "signal")?,
    ];
    let (doctor, desk) = (Browser::at(&network, first)?, Browser::at(&network, first)?);
    for (staff, role) in [(&doctor, "doctor"), (&desk, "front-desk")] {
        ensure!(staff.sign_in(&network.account(role)?).await?.status == 201);
    }
    // The patient lives elsewhere: what is decided at one host reaches nodes through all of them.
    let patient = Browser::at(&network, second)?;
    let visit = patient.book(&desk, &Patient::numbered(1)).await?;
    patient.be_admitted(&doctor, &visit).await?;
    let (guest, id) = be_a_guest(&doctor, &visit).await?;
    let tokens = [
        token(&doctor.post("/tokens/join", &json!({"appointment": visit.appointment})).await?)?,
        token(&patient.post("/tokens/join", &json!({})).await?)?,
        token(&guest.post("/tokens/join", &json!({})).await?)?,
    ];
    let [doctors, patients, guests] = &tokens;
    let mut staying = Stay::begin(&nodes[0], doctors).await?;
    // At a node of another region than the one that is told.
    let removed = Stay::begin(&nodes[1], guests).await?;

    let answer = doctor.post(&format!("/scheduling/guests/{id}/remove"), &json!({})).await?;
    ensure!(answer.status == 200, "{answer:?}");
    let asked = Instant::now();
    removed.ends(asked).await?;
    let put_out = network.figure(&network.media(second), "locum_media_put_out_total").await?;
    ensure!(put_out.is_some_and(|count| count >= 1.0), "they left by themselves, the door alone was closed");
    for node in &nodes {
        ensure!(refusal(node, guests).await? == Some(401), "who was removed comes in again at {node}");
        ensure!(refusal(node, patients).await?.is_none(), "somebody else is refused at {node}");
    }
    ensure!(guest.post("/tokens/join", &json!({})).await?.status == 410, "another token after the removal");
    staying.goes_on().await?;

    // With the visit, everybody.
    let staying = [Stay::begin(&nodes[0], doctors).await?, Stay::begin(&nodes[1], patients).await?];
    let end = format!("/scheduling/appointments/{}/end", visit.appointment);
    ensure!(doctor.post(&end, &json!({})).await?.status == 200);
    let ended = Instant::now();
    for stay in staying {
        stay.ends(ended).await?;
    }
    for (node, token) in nodes.iter().flat_map(|node| tokens.iter().map(move |token| (node, token))) {
        ensure!(refusal(node, token).await? == Some(401), "the visit is over, and the call is not at {node}");
    }
    Ok(())
}

/// Invited, there, and let in.
async fn be_a_guest(doctor: &Browser, visit: &Visit) -> Result<(Browser, String)> {
    let guests = format!("/scheduling/appointments/{}/guests", visit.appointment);
    let invited = doctor.post(&guests, &json!({"role": "interpreter"})).await?;
    let text = |pointer: &str| invited.body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let link = text("/link").with_context(|| format!("{invited:?}"))?;
    let id = text("/guest/id").context("no id")?;
    let guest = doctor.another();
    let (_, secret) = link.split_once('#').context("no fragment")?;
    let opened = guest.post("/auth/visit-sessions", &json!({"token": secret})).await?;
    ensure!(opened.status == 201 && opened.body["guest"] == "interpreter", "{opened:?}");
    ensure!(guest.post("/scheduling/guest-visit/arrive", &json!({})).await?.status == 200);
    ensure!(doctor.post(&format!("/scheduling/guests/{id}/admit"), &json!({})).await?.status == 200);
    Ok((guest, id))
}

fn token(answer: &Answer) -> Result<String> {
    ensure!(answer.status == 201, "{answer:?}");
    Ok(answer.body["token"].as_str().context("no token")?.to_owned())
}

/// The status with which a node refuses a token; `None`: it takes it.
async fn refusal(node: &str, token: &str) -> Result<Option<u16>> {
    match connect_async(url(node, token)).await {
        Ok(_) => Ok(None),
        Err(SocketError::Http(response)) => Ok(Some(response.status().as_u16())),
        Err(error) => Err(error.into()),
    }
}

fn url(node: &str, token: &str) -> String {
    format!("ws://{node}/rtc/v1?access_token={token}&join_request=")
}

/// Somebody in a call. Without media a node sends them away after a while, so they come back whenever it lets them.
struct Stay {
    url: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Stay {
    async fn begin(node: &str, token: &str) -> Result<Self> {
        let url = url(node, token);
        let (socket, _) = connect_async(&url).await.with_context(|| format!("enter at {node}"))?;
        Ok(Self { url, socket })
    }

    /// Waits until the node closes the socket and does not take them in again.
    async fn ends(mut self, since: Instant) -> Result<()> {
        loop {
            let left = OUT_WITHIN.saturating_sub(since.elapsed());
            let closed =
                tokio::time::timeout(left, async { while let Some(Ok(_)) = self.socket.next().await {} });
            ensure!(closed.await.is_ok(), "still in the call after {:?}", since.elapsed());
            match connect_async(&self.url).await {
                Ok((socket, _)) => self.socket = socket,
                Err(SocketError::Http(response)) if response.status().as_u16() == 401 => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// They may still be there.
    async fn goes_on(&mut self) -> Result<()> {
        (self.socket, _) = connect_async(&self.url).await.context("somebody else was put out")?;
        Ok(())
    }
}
