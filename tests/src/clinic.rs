//! The clinic's HTTP API as a browser uses it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_passkey::Passkey;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Url};
use serde_json::{Value, json};

use crate::network::{Account, Network};

/// A name that must never be seen outside the encrypted store.
pub const PATIENT: &str = "Wilhelmina Quetzalcoatl";

/// Until another region's copy has what was acknowledged.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// By clinic and their owner's password, which is random.
static PASSKEYS: LazyLock<Mutex<HashMap<(String, String), Passkey>>> = LazyLock::new(Mutex::default);

/// One browser profile: its own cookies, talking to the region's API.
#[derive(Clone)]
pub struct Browser {
    client: Client,
    api: String,
    origin: String,
    clinic: String,
    /// Kept here because browsers send `Secure` cookies to `http://*.localhost` and HTTP libraries do not.
    cookies: Arc<Mutex<HashMap<String, String>>>,
}

/// A status with the body it came with.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case.
    pub headers: HashMap<String, String>,
    /// `Null` when there was no JSON body.
    pub body: Value,
}

impl Answer {
    /// The slug of a problem document.
    pub fn problem(&self) -> &str {
        self.body["type"].as_str().and_then(|t| t.strip_prefix("urn:locum:problem:")).unwrap_or("")
    }
}

/// What a hold answers.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Names the hold.
    pub id: String,
    /// Proves that its bearer made it.
    pub secret: String,
}

/// Names and values as a form or a query has them.
pub fn urlencoded(fields: &[(&str, &str)]) -> Result<String> {
    let url = Url::parse_with_params("http://localhost/", fields)?;
    Ok(url.query().unwrap_or_default().to_owned())
}

/// Who books.
#[derive(Clone, Debug)]
pub struct Patient {
    /// Whole name.
    pub name: String,
    /// Where the invitation goes.
    pub email: String,
}

/// A booked appointment and the link's token.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Appointment id.
    pub appointment: String,
    /// What stands behind `#` in the invitation.
    pub token: String,
}

impl Browser {
    /// A fresh profile, at the network's first region.
    pub fn new(network: &Network) -> Result<Self> {
        let region = network.regions().into_iter().next().context("no region")?;
        Self::at(network, &region)
    }

    /// A fresh profile, at a region.
    pub fn at(network: &Network, region: &str) -> Result<Self> {
        Self::with(network, region, Client::builder())
    }

    fn with(network: &Network, region: &str, client: ClientBuilder) -> Result<Self> {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let address: SocketAddr = network.address(&network.edge(region), "http")?.parse()?;
        let zone = "locum.localhost";
        let host = format!("{region}.{zone}");
        let client = client.resolve(&host, address).resolve(&format!("app.{zone}"), address).build()?;
        let port = address.port();
        Ok(Self {
            client,
            api: format!("http://{host}:{port}"),
            origin: format!("http://app.{zone}:{port}"),
            clinic: "demo".to_owned(),
            cookies: Arc::default(),
        })
    }

    /// Where the clinic's API is.
    pub fn address(&self) -> String {
        format!("{}/c/{}", self.api, self.clinic)
    }

    /// A fresh profile whose requests come from this address of the machine.
    pub fn from(network: &Network, region: &str, from: IpAddr) -> Result<Self> {
        Self::with(network, region, Client::builder().local_address(from))
    }

    /// The same profile, cookies and all, as it goes on at another region.
    pub fn moved_to(&self, network: &Network, region: &str) -> Result<Self> {
        let (cookies, clinic) = (Arc::clone(&self.cookies), self.clinic.clone());
        Ok(Self { cookies, clinic, ..Self::at(network, region)? })
    }

    /// The same profile, cookies and all, as it goes on from another address of the machine.
    pub fn carried_to(&self, network: &Network, from: IpAddr) -> Result<Self> {
        let region = network.regions().into_iter().next().context("no region")?;
        let (cookies, clinic) = (Arc::clone(&self.cookies), self.clinic.clone());
        Ok(Self { cookies, clinic, ..Self::from(network, &region, from)? })
    }

    /// A fresh profile at the same place.
    pub fn another(&self) -> Self {
        Self { cookies: Arc::default(), ..self.clone() }
    }

    /// At another clinic than the demo clinic.
    pub fn of(self, clinic: &str) -> Self {
        Self { clinic: clinic.to_owned(), ..self }
    }

    /// One request below the clinic's path; a body makes it JSON.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.send_with(method, path, body, &[]).await
    }

    /// The same with more headers.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut request = self.client.request(method, self.url(path)).header("cookie", self.cookies());
        if !headers.iter().any(|(name, _)| *name == "origin") {
            request = request.header("origin", &self.origin);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request).await
    }

    /// A form, as apps post it: without cookies.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let request = self.client.post(self.url(path)).body(urlencoded(fields)?);
        self.answer(request.header("content-type", "application/x-www-form-urlencoded")).await
    }

    /// A report of mail that came back, as the operator's mail server hands it over.
    pub async fn hand_over(&self, report: &str, token: &str) -> Result<Answer> {
        let request = self.client.post(self.url("/messages/hooks/bounces")).body(report.to_owned());
        let request = request.header("content-type", "message/rfc822");
        self.answer(request.basic_auth("bounces", Some(token))).await
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("/.well-known") || path.starts_with("/c/") {
            format!("{}{path}", self.api)
        } else {
            format!("{}/c/{}{path}", self.api, self.clinic)
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Answer> {
        let response = request.send().await.context("send request")?;
        let status = response.status().as_u16();
        self.keep_cookies(&response);
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let text = response.text().await?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    fn cookies(&self) -> String {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep_cookies(&self, response: &reqwest::Response) {
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for header in response.headers().get_all("set-cookie") {
            let text = String::from_utf8_lossy(header.as_bytes());
            let Some((name, value)) = text.split(';').next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            if text.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// `GET` that must succeed.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.send(Method::GET, path, None).await?;
        ensure!(answer.status == 200, "GET {path}: {answer:?}");
        Ok(answer.body)
    }

    /// `POST`, whatever it answers.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Signs a member of staff in; the first time with a new passkey, which is remembered.
    pub async fn sign_in(&self, account: &Account) -> Result<Answer> {
        let body = json!({"username": account.username, "password": account.password});
        let begun = self.post("/auth/sessions", &body).await?;
        match begun.body["next"].as_str() {
            Some("enrolment") => {
                let (passkey, kept) =
                    (Passkey::generate()?, || PASSKEYS.lock().unwrap_or_else(PoisonError::into_inner));
                let options = self.post("/auth/passkeys/options", &json!({})).await?;
                ensure!(options.status == 201, "ask for a passkey: {options:?}");
                let credential = passkey.create(&options.body, &self.origin)?;
                let body = json!({"name": "Test", "credential": credential});
                let answer = self.post("/auth/passkeys", &body).await?;
                kept().insert(self.key_of(account), passkey);
                Ok(answer)
            }
            Some("second-factor") => {
                let passkey = PASSKEYS
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(&self.key_of(account))
                    .cloned();
                let options = self.post("/auth/second-factor/passkey", &json!({})).await?;
                ensure!(options.status == 201, "ask a passkey: {options:?}");
                let credential = passkey.context("no passkey is known")?.get(&options.body, &self.origin)?;
                self.post("/auth/second-factor", &json!({"passkey": credential})).await
            }
            _ => Ok(begun),
        }
    }

    /// Clinics may have the same accounts, with a passkey of its own in each.
    fn key_of(&self, account: &Account) -> (String, String) {
        (self.clinic.clone(), account.password.clone())
    }

    /// Free slots of the first service in the week from today, soonest first, as bodies for a hold.
    pub async fn slots(&self) -> Result<Vec<Value>> {
        self.slots_within(0..7).await
    }

    /// The same, of other days; today is 0.
    pub async fn slots_within(&self, days: Range<i32>) -> Result<Vec<Value>> {
        self.look(days).await?.map_err(|answer| anyhow::anyhow!("reading slots: {answer:?}"))
    }

    /// The same; or what was answered instead.
    pub async fn look(&self, days: Range<i32>) -> Result<Result<Vec<Value>, Answer>> {
        let clinic = self.send(Method::GET, "/scheduling/clinic", None).await?;
        if clinic.status != 200 {
            return Ok(Err(clinic));
        }
        let service = clinic.body["services"][0]["id"].as_str().context("no service")?;
        let zone = clinic.body["timeZone"].as_str().context("no time zone")?;
        let today = jiff::Timestamp::now().in_tz(zone)?.date();
        let (from, days) = (today.checked_add(jiff::Span::new().days(days.start))?, days.len());
        let path = format!("/scheduling/slots?service={service}&from={from}&days={days}");
        let answer = self.send(Method::GET, &path, None).await?;
        if answer.status != 200 {
            return Ok(Err(answer));
        }
        let slots = answer.body["slots"].as_array().context("no slots")?;
        let body = |s: &Value| json!({"service": service, "practitioner": s["practitioner"]["id"], "start": s["start"]});
        Ok(Ok(slots.iter().map(body).collect()))
    }

    /// Holds the first slot that is still free.
    pub async fn hold_any(&self) -> Result<Hold> {
        for slot in self.slots().await? {
            let answer = self.post("/scheduling/holds", &slot).await?;
            if answer.status == 201 {
                return hold(&answer.body);
            }
        }
        anyhow::bail!("no slot could be held")
    }

    /// Confirms a hold with "pay at the clinic".
    pub async fn confirm(&self, hold: &Hold, patient: &Patient) -> Result<Answer> {
        self.post("/payments/confirmations", &confirmation(hold, patient)).await
    }

    /// Books the next free slot and finds the link in the clinic's outbox.
    pub async fn book(&self, staff: &Self, patient: &Patient) -> Result<Visit> {
        let hold = self.hold_any().await?;
        let answer = self.confirm(&hold, patient).await?;
        ensure!(answer.status == 201, "confirm: {answer:?}");
        let appointment = answer.body["appointment"]["id"].as_str().context("no appointment")?.to_owned();
        let begun = Instant::now();
        // Staff are somebody else, and may be told of it a moment later where their region's copy is.
        let link = loop {
            let outbox = staff.get("/messages/outbox").await?;
            let mut messages = outbox["messages"].as_array().into_iter().flatten();
            match messages.find(|m| m["to"] == patient.email.as_str()).and_then(|m| m["link"].as_str()) {
                Some(link) => break link.to_owned(),
                None => ensure!(begun.elapsed() < TOLD_WITHIN, "no invitation in the outbox"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let token = link.split_once('#').context("link has no fragment")?.1.to_owned();
        Ok(Visit { appointment, token })
    }

    /// An appointment as staff see it on the list of its day, whichever of the next days that is.
    pub async fn appointment(&self, id: &str) -> Result<Value> {
        let today = jiff::Zoned::now().date();
        for days in -1..8 {
            let date = today.checked_add(jiff::Span::new().days(days))?;
            let list = self.get(&format!("/scheduling/appointments?date={date}")).await?;
            let found =
                list["appointments"].as_array().into_iter().flatten().find(|listed| listed["id"] == id);
            if let Some(found) = found {
                return Ok(found.clone());
            }
        }
        anyhow::bail!("appointment is on no list")
    }

    /// Id of an appointment's encounter.
    pub async fn encounter(&self, appointment: &str) -> Result<String> {
        let listed = self.appointment(appointment).await?;
        Ok(listed["encounter"].as_str().context("no encounter")?.to_owned())
    }

    /// The patient of the visit agrees to what they are shown, if there is something to agree to.
    pub async fn consent(&self) -> Result<()> {
        let shown = self.get("/records/visit/consent").await?;
        let texts = shown["texts"].as_array().context("no texts")?;
        if texts.is_empty() {
            return Ok(());
        }
        let said: Vec<Value> =
            texts.iter().map(|text| json!({"text": text["id"], "sha256": text["sha256"]})).collect();
        let given = self.post("/records/visit/consent", &json!({"texts": said})).await?;
        ensure!(matches!(given.status, 200 | 201), "consent: {given:?}");
        Ok(())
    }

    /// Opens the link, consents, arrives, and lets `doctor` admit.
    pub async fn be_admitted(&self, doctor: &Self, visit: &Visit) -> Result<()> {
        let opened = self.post("/auth/visit-sessions", &json!({"token": visit.token})).await?;
        ensure!(opened.status == 201, "open link: {opened:?}");
        self.consent().await?;
        let arrived = self.post("/scheduling/visit/arrive", &json!({})).await?;
        ensure!(arrived.status == 200, "arrive: {arrived:?}");
        let path = format!("/scheduling/appointments/{}/admit", visit.appointment);
        let admitted = doctor.post(&path, &json!({})).await?;
        ensure!(admitted.status == 200, "admit: {admitted:?}");
        Ok(())
    }
}

impl Patient {
    /// A patient whose name a test looks for afterwards.
    pub fn planted() -> Self {
        Self { name: PATIENT.to_owned(), email: "wilhelmina@patients.example".to_owned() }
    }

    /// Somebody else.
    pub fn numbered(n: usize) -> Self {
        Self { name: format!("Patient {n}"), email: format!("patient-{n}@patients.example") }
    }
}

/// Reads a hold's answer.
pub fn hold(body: &Value) -> Result<Hold> {
    let text = |key: &str| body[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
    Ok(Hold { id: text("id")?, secret: text("secret")? })
}

/// The body that confirms a hold.
pub fn confirmation(hold: &Hold, patient: &Patient) -> Value {
    json!({
        "hold": hold.id, "secret": hold.secret, "method": "pay-at-clinic",
        "patient": {"name": patient.name, "birthDate": "1956-03-14", "email": patient.email},
    })
}
