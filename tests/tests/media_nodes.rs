//! Which media nodes people are told of: near ones first, full ones last, others not at all; and that they are told
//! so without a control plane too.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use locum_identity::{SigningKey, private_file};
use locum_network_tests::{Answer, Browser, Network, Patient, Visit, signal};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error as SocketError;

/// Longest wait for a node list to say what has happened.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_of_near_nodes_with_room_and_of_no_others() -> Result<()> {
    let mut network = Network::start_regions(3)?;
    let people = People::admitted(&network, "us-west", 1).await?;
    for region in network.regions() {
        let told = Told::by(&people.doctor.moved_to(&network, &region)?, &people.visit).await?;
        ensure!(told.regions.len() == 3 && told.regions[0] == region, "at {region}: {told:?}");
        ensure!(told.version > 0 && !told.running, "{told:?}");
        let discovered = people.doctor.moved_to(&network, &region)?.get("/.well-known/locum.json").await?;
        ensure!(discovered["mediaNodes"][0]["region"] == region.as_str(), "{discovered}");
    }
    // Whoever comes second is told what is near to them, wherever the others are.
    let first = Told::by(&people.doctor.moved_to(&network, "us-east")?, &people.visit).await?;
    let second = Told::by_patient(&people.patient.moved_to(&network, "eu-central")?).await?;
    ensure!(first.regions[0] == "us-east", "{first:?}");
    ensure!(second.running && second.regions[0] == "eu-central", "{first:?} {second:?}");

    // A node that drains is not told of, and neither is one that is gone.
    let alone = People::admitted(&network, "us-east", 2).await?;
    signal(network.process_id(&network.media("us-east"))?, libc::SIGTERM);
    let left = alone.until(|told| !told.regions.contains(&"us-east".to_owned())).await?;
    ensure!(left.regions.len() == 2 && left.version > first.version, "{first:?} {left:?}");
    full_ones_go_last(&mut network, &alone).await?;
    Ok(())
}

/// Two nodes are left; the one of `eu-central` fills up, then it is the only one.
async fn full_ones_go_last(network: &mut Network, alone: &People) -> Result<()> {
    let crowd = Crowd::fill(network, "eu-central").await?;
    let west = alone.doctor.moved_to(network, "eu-central")?;
    let near = People { doctor: west, ..alone.clone() };
    near.until(|told| told.regions == ["us-west", "eu-central"]).await.context("eu-central is full")?;
    let running = People::admitted(network, "us-west", 3).await?;
    Told::by(&running.doctor, &running.visit).await?;
    Told::by_patient(&running.patient).await?;

    network.kill(&network.media("us-west"))?;
    let refused = alone.until_refused().await?;
    ensure!(refused.problem() == "capacity" && refused.headers["retry-after"] == "5", "{refused:?}");
    // A call that lost its node is let in where new ones are not.
    let told =
        running.doctor.post("/tokens/join", &json!({"appointment": running.visit.appointment})).await?;
    ensure!(told.status == 201 && told.body["nodes"][0]["region"] == "eu-central", "{told:?}");
    let token = told.body["token"].as_str().context("no token")?;
    ensure!(enter(&crowd.address, token).await?.is_none(), "a running call is refused");
    ensure!(enter(&crowd.address, &crowd.token("new")?).await? == Some(503), "a new call is let in");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_control_plane_people_are_told_as_before() -> Result<()> {
    let mut network = Network::start()?;
    let people = People::admitted(&network, "eu-central", 1).await?;
    let before = Told::by(&people.doctor, &people.visit).await?;
    network.leave_alone()?;
    network.kill("control-1")?;
    network.kill("edge-1")?;
    network.revive("edge-1")?;

    let doctor = people.doctor.moved_to(&network, "eu-central")?;
    let told = Told::by(&doctor, &people.visit).await?;
    ensure!(told.version >= before.version && told.regions == ["eu-central"], "{before:?} {told:?}");
    let discovered = doctor.get("/.well-known/locum.json").await?;
    ensure!(discovered["nodeListVersion"] == told.version, "{discovered}");
    ensure!(discovered["nodeList"].as_str().is_some_and(|signed| signed.split('.').count() == 3));
    ensure!(discovered["mediaNodes"][0]["id"] == "media-1", "{discovered}");
    let node = network.address("media-1", "signal")?;
    ensure!(enter(&node, &told.token).await?.is_none(), "the node does not take the token");
    Ok(())
}

/// A visit whose patient was let in, and nobody in the call yet.
#[derive(Clone)]
struct People {
    doctor: Browser,
    patient: Browser,
    visit: Visit,
}

/// What an answer to a join says of the nodes.
#[derive(Debug)]
struct Told {
    token: String,
    version: u64,
    running: bool,
    regions: Vec<String>,
}

impl People {
    async fn admitted(network: &Network, region: &str, number: usize) -> Result<Self> {
        let patient = Browser::at(network, region)?;
        let (doctor, desk) = (patient.another(), patient.another());
        for (staff, role) in [(&doctor, "doctor"), (&desk, "front-desk")] {
            let signed_in = staff.sign_in(&network.account(role)?).await?;
            ensure!(signed_in.status == 201, "{signed_in:?}");
        }
        let visit = patient.book(&desk, &Patient::numbered(number)).await?;
        patient.be_admitted(&doctor, &visit).await?;
        Ok(Self { doctor, patient, visit })
    }

    /// Asks for the doctor until the answer is as it should be.
    async fn until(&self, fits: impl Fn(&Told) -> bool) -> Result<Told> {
        let begun = Instant::now();
        loop {
            match Told::by(&self.doctor, &self.visit).await {
                Ok(told) if fits(&told) => return Ok(told),
                other if begun.elapsed() > PATIENCE => bail!("{other:?}"),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn until_refused(&self) -> Result<Answer> {
        let begun = Instant::now();
        loop {
            let answer = ask(&self.doctor, &self.visit).await?;
            if answer.status == 503 && answer.problem() != "no-primary" {
                return Ok(answer);
            }
            ensure!(begun.elapsed() < PATIENCE, "{answer:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Told {
    async fn by(doctor: &Browser, visit: &Visit) -> Result<Self> {
        Self::read(&ask(doctor, visit).await?)
    }

    async fn by_patient(patient: &Browser) -> Result<Self> {
        Self::read(&patient.post("/tokens/join", &json!({})).await?)
    }

    fn read(answer: &Answer) -> Result<Self> {
        ensure!(answer.status == 201, "{answer:?}");
        let body = &answer.body;
        let region = |node: &Value| node["region"].as_str().map(str::to_owned);
        let regions = body["nodes"].as_array().and_then(|nodes| nodes.iter().map(region).collect());
        Ok(Self {
            token: body["token"].as_str().context("no token")?.to_owned(),
            version: body["nodeListVersion"].as_u64().context("no version")?,
            running: body["running"].as_bool().context("not said whether it runs")?,
            regions: regions.context("no nodes")?,
        })
    }
}

async fn ask(doctor: &Browser, visit: &Visit) -> Result<Answer> {
    let body = json!({"appointment": visit.appointment});
    doctor.send(Method::POST, "/tokens/join", Some(&body)).await
}

/// Enters a call and stays for this moment only; the status of a refusal.
async fn enter(address: &str, token: &str) -> Result<Option<u16>> {
    match connect_async(url(address, token)).await {
        Ok(_) => Ok(None),
        Err(SocketError::Http(response)) => Ok(Some(response.status().as_u16())),
        Err(error) => Err(error.into()),
    }
}

/// The request to join is empty: these clients never send or receive media.
fn url(address: &str, token: &str) -> String {
    format!("ws://{address}/rtc/v1?access_token={token}&join_request=")
}

/// Three people in calls of their own on a node for four.
struct Crowd {
    address: String,
    key: SigningKey,
    _people: JoinSet<()>,
}

impl Crowd {
    async fn fill(network: &mut Network, region: &str) -> Result<Self> {
        let media = network.media(region);
        let config = network.data().join(format!("{media}.toml"));
        let smaller = format!("capacity = 4\n{}", std::fs::read_to_string(&config)?);
        private_file::write(&config, smaller.as_bytes())?;
        network.kill(&media)?;
        network.revive(&media)?;
        let key = SigningKey::load_or_create(&network.state_of(region).join("token-key.pem"))?;
        let address = network.address(&media, "signal")?;
        let mut crowd = Self { address, key, _people: JoinSet::new() };
        for room in ["a", "b", "c"] {
            let url = url(&crowd.address, &crowd.token(room)?);
            crowd._people.spawn(async move {
                // Who sends no media is sent away after a while, and comes back.
                loop {
                    if let Ok((socket, _)) = connect_async(&url).await {
                        ended(socket).await;
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            });
        }
        Ok(crowd)
    }

    /// For the first person in a call.
    fn token(&self, room: &str) -> Result<String> {
        let now = jiff::Timestamp::now().as_second();
        Ok(self.key.sign_jws(&json!({
            "iss": "edge-eu-central", "aud": "locum-media", "sub": format!("person-{room}"), "jti": "j",
            "nbf": now - 5, "exp": now + 600, "running": false,
            "video": {"roomJoin": true, "room": room},
        }))?)
    }
}

/// Reads until the node closes.
async fn ended<S>(mut socket: S)
where
    S: futures_util::Stream<Item = Result<tokio_tungstenite::tungstenite::Message, SocketError>> + Unpin,
{
    use futures_util::StreamExt as _;
    while let Some(Ok(_)) = socket.next().await {}
}
