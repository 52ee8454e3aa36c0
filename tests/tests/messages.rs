//! Messages to people, sent to a real mail server: over TLS or not at all, each once, whoever dies in the middle.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Mail, MailServer, Network, Patient, SmsProvider, confirmation, until};
use reqwest::Method;
use serde_json::{Value, json};

/// Booked by people who never see each other's addresses.
async fn book(browser: &Browser, address: &str) -> Result<()> {
    let hold = browser.hold_any().await?;
    let patient = Patient { email: address.to_owned(), ..Patient::planted() };
    let answer = browser.post("/payments/confirmations", &confirmation(&hold, &patient)).await?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(())
}

async fn desk(network: &Network) -> Result<Browser> {
    let browser = Browser::new(network)?;
    let answer = browser.sign_in(&network.account("front-desk")?).await?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(browser)
}

async fn work(desk: &Browser) -> Result<Vec<Value>> {
    let list = desk.get("/messages/work").await?;
    Ok(list["messages"].as_array().context("no list")?.clone())
}

async fn eventually(what: &str, within: Duration, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        ensure!(begun.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// What a server does not take at once is tried again after a minute.
const PATIENCE: Duration = Duration::from_secs(100);

fn of<'m>(taken: &'m [Mail], address: &str) -> Vec<&'m Mail> {
    taken.iter().filter(|mail| mail.to == address).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_over_tls_or_not_at_all_and_says_nothing_of_anybody() -> Result<()> {
    let mut server = MailServer::start("plain")?;
    let file = server.configuration("starttls")?.to_string_lossy().into_owned();
    let network = Network::start_with(1, &["--messages", &file])?;
    let browser = Browser::new(&network)?;
    book(&browser, "early@patients.example").await?;
    let retried = async || -> Result<bool> {
        Ok(network
            .figure("edge-1", r#"locum_edge_messages_total{channel="email",outcome="retry"}"#)
            .await?
            .unwrap_or(0.0)
            >= 1.0)
    };
    eventually("a server without TLS is asked in vain", PATIENCE, retried).await?;
    ensure!(server.taken()?.is_empty(), "something went out without TLS");

    server.start_again("starttls")?;
    for address in ["paula@patients.example", "nobody@patients.example", "vanish@patients.example"] {
        book(&browser, address).await?;
    }
    let desk = desk(&network).await?;
    let seen = async || -> Result<bool> {
        Ok(work(&desk).await?.len() == 2 && !of(&server.taken()?, "paula@patients.example").is_empty())
    };
    eventually("all have gone, or are on the work list", PATIENCE, seen).await?;
    let taken = server.taken()?;
    let [mail] = of(&taken, "paula@patients.example")[..] else { anyhow::bail!("not one: {taken:?}") };
    ensure!(mail.tls, "{mail:?}");
    ensure!(mail.headers["from"].ends_with("<no-reply@clinics.example>"), "{mail:?}");
    let signature = &mail.headers["dkim-signature"];
    ensure!(signature.contains("d=clinics.example") && signature.contains("a=ed25519-sha256"), "{signature}");
    ensure!(mail.text.contains("/c/demo/visit#"), "{mail:?}");
    server.verify(mail)?;
    let list = work(&desk).await?;
    let state =
        |to: &str| list.iter().find(|message| message["to"] == to).map(|message| message["state"].clone());
    ensure!(state("nobody@patients.example") == Some(json!("failed")), "{list:?}");
    ensure!(state("vanish@patients.example") == Some(json!("unknown")), "{list:?}");
    ensure!(of(&taken, "vanish@patients.example").len() == 1, "{taken:?}");
    it_comes_back(&network, &desk, mail).await?;
    nothing_of_anybody(&taken)
}

/// The operator's mail server hands over what came back to the address that the message was sent from: front desk sees it, corrects
/// the address, and the link goes there.
async fn it_comes_back(network: &Network, desk: &Browser, mail: &Mail) -> Result<()> {
    let report = format!(
        "From: MAILER-DAEMON@mx.example\r\nTo: {}\r\nContent-Type: multipart/report; \
         report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; {}\r\nAction: failed\r\n\
         Status: 5.1.1\r\n\r\n--b--\r\n",
        mail.from, mail.to
    );
    let anyone = Browser::new(network)?;
    let hand_over = async |token: &str| anyone.hand_over(&report, token).await;
    ensure!(hand_over("another").await?.problem() == "bounce-token-refused");
    ensure!(hand_over("token of the mail server").await?.status == 204);
    let list = work(desk).await?;
    let item = list.iter().find(|message| message["to"] == mail.to).context("not on the work list")?;
    ensure!(item["reason"] == "bounced-5.1.1", "{item}");
    let path =
        format!("/messages/appointments/{}/contact", item["appointment"].as_str().context("no visit")?);
    let wish = json!({"email": "paula.new@patients.example", "channel": "email"});
    let corrected = desk.send(Method::PUT, &path, Some(&wish)).await?;
    ensure!(corrected.status == 200 && corrected.body["undeliverable"] == json!([]), "{corrected:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn short_messages_go_by_a_provider_as_it_is_described_and_say_nothing_of_anybody() -> Result<()> {
    let mut provider = SmsProvider::start()?;
    let file = provider.configuration()?.to_string_lossy().into_owned();
    let network = Network::start_with(1, &["--messages", &file])?;
    let browser = Browser::new(&network)?;
    let desk = desk(&network).await?;
    // Two days from now at least: they are reminded by the clock later; what is sent at once is the recall that follows.
    for number in ["1", "2", "3", "4", "5"] {
        plan_recall(&network, &browser, &format!("+4915100000{number:0>4}")).await?;
    }
    let taken = async || -> Result<bool> {
        let list = work(&desk).await?;
        let stands = |state: &str| list.iter().filter(|message| message["state"] == state).count();
        Ok(provider.taken()?.len() == 3 && stands("failed") == 2 && stands("unknown") == 1)
    };
    eventually("all have gone, or are on the work list", PATIENCE, taken).await?;
    ensure!(provider.refused()?.is_empty(), "not as it is described: {:?}", provider.refused()?);
    let messages = provider.taken()?;
    let surname = Patient::planted().name.rsplit(' ').next().unwrap_or_default().to_owned();
    for message in &messages {
        for planted in
            [Patient::planted().name.as_str(), &surname, "1956-03-14", "Grey", "Canary", "diabetes"]
        {
            ensure!(!message.raw.contains(planted), "a planted value went out");
        }
        ensure!(message.fields["Body"].contains("/c/demo") && message.fields["Body"].contains("STOP"));
    }
    // Of one the provider says later that there is no such number: it is for people, and the number gets no more.
    let gone = messages.iter().find(|message| message.fields["To"].ends_with("0004")).context("none")?;
    let fields = json!({"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005"});
    let told_at = &gone.fields["StatusCallback"];
    ensure!(provider.tell(&network, told_at, &fields, false)? == 400, "forged");
    ensure!(provider.tell(&network, told_at, &fields, true)? == 204);
    let list = work(&desk).await?;
    ensure!(list.iter().any(|message| message["reason"] == "sms-30005"), "{list:?}");
    let stop = json!({"From": "+49151000000005", "To": "+15005550006", "Body": "Stop", "OptOutType": "STOP"});
    ensure!(provider.tell(&network, "/c/demo/messages/hooks/sms", &stop, false)? == 400, "forged");
    ensure!(provider.tell(&network, "/c/demo/messages/hooks/sms", &stop, true)? == 204);
    Ok(())
}

/// Somebody who wants short messages, and is to be seen again: a clinician's plan, and a message at once.
async fn plan_recall(network: &Network, browser: &Browser, phone: &str) -> Result<()> {
    let hold = browser.hold_any().await?;
    let patient = Patient { email: format!("p{}@patients.example", &phone[1..]), ..Patient::planted() };
    let mut wish = confirmation(&hold, &patient);
    wish["patient"]["contact"] = json!({"phone": phone, "channel": "sms", "language": "es"});
    let answer = browser.post("/payments/confirmations", &wish).await?;
    ensure!(answer.status == 201, "{answer:?}");
    let doctor = Browser::new(network)?;
    let signed_in = doctor.sign_in(&network.account("doctor")?).await?;
    ensure!(signed_in.status == 201, "{signed_in:?}");
    let today = jiff::Zoned::now().date().tomorrow()?;
    let recall = json!({"appointment": answer.body["appointment"]["id"], "reason": "Canary of diabetes",
        "dueOn": today.to_string()});
    let planned = doctor.post("/messages/recalls", &recall).await?;
    ensure!(planned.status == 201, "{planned:?}");
    let id = planned.body["id"].as_str().context("no id")?;
    let written = doctor.post(&format!("/messages/recalls/{id}/contact"), &json!({})).await?;
    ensure!(written.status == 204, "{written:?}");
    Ok(())
}

/// Who is treated, by whom and for what is in no byte that went out.
fn nothing_of_anybody(taken: &[Mail]) -> Result<()> {
    let patient = Patient::planted();
    let surname = patient.name.rsplit(' ').next().unwrap_or(&patient.name).to_owned();
    for mail in taken {
        for planted in [patient.name.as_str(), &surname, "1956-03-14", "Grey"] {
            let text = format!("{}\n{}\n{:?}", mail.raw, mail.text, mail.headers);
            ensure!(!text.contains(planted), "a planted value went out");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_dies_in_the_middle_of_a_batch_sends_nothing_twice_and_loses_nothing() -> Result<()> {
    for _ in 0..rounds()? {
        kill_in_the_middle().await?;
    }
    Ok(())
}

fn rounds() -> Result<u32> {
    std::env::var("LOCUM_ROUNDS").map_or(Ok(1), |text| Ok(text.parse()?))
}

async fn kill_in_the_middle() -> Result<()> {
    let server = MailServer::start("implicit")?;
    let file = server.configuration("implicit")?.to_string_lossy().into_owned();
    let mut network = Network::start_with(3, &["--messages", &file])?;
    let leader = network.leader().await?;
    let other = network.regions().into_iter().find(|region| *region != leader).context("no other")?;
    let browser = Browser::at(&network, &other)?;
    // The first waits for its acknowledgement, so that the others make a batch.
    server.allow(0)?;
    book(&browser, "patient-0@patients.example").await?;
    until("the first is at the server", || Ok(server.taken()?.len() == 1))?;
    let addresses: Vec<String> = (1..=12).map(|n| format!("patient-{n}@patients.example")).collect();
    for address in &addresses {
        book(&browser, address).await?;
    }
    server.allow(4)?;
    until("some of the batch have gone, and one is taken", || Ok(server.taken()?.len() >= 5))?;
    let desk = Browser::at(&network, &other)?;
    let answer = desk.sign_in(&network.account("front-desk")?).await?;
    ensure!(answer.status == 201, "{answer:?}");
    network.kill_region(&leader)?;
    server.allow(u32::MAX)?;

    // What is written now, the successor sends. Each try is somebody else: one may have happened without an answer.
    let begun = Instant::now();
    let mut all: BTreeSet<String> = addresses.into_iter().collect();
    for n in 0.. {
        let address = format!("after-{n}@patients.example");
        if book(&browser, &address).await.is_ok() {
            all.insert(address);
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "nobody leads");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    all.insert("patient-0@patients.example".to_owned());
    let settled = async || -> Result<bool> {
        let sent = server.taken()?.into_iter().map(|mail| mail.to);
        let listed =
            work(&desk).await?.into_iter().filter_map(|message| message["to"].as_str().map(str::to_owned));
        Ok(sent.chain(listed).collect::<BTreeSet<_>>().is_superset(&all))
    };
    eventually("each is sent or for people", PATIENCE, settled).await?;
    let taken = server.taken()?;
    server.verify(taken.first().context("nothing was taken")?)?;
    for mail in &taken {
        ensure!(of(&taken, &mail.to).len() == 1, "{} was written to twice", mail.to);
    }
    ensure!(taken.iter().all(|mail| mail.tls), "not all came over TLS");
    let doubtful = work(&desk).await?;
    ensure!(doubtful.iter().all(|message| message["state"] == "unknown"), "{doubtful:?}");
    ensure!(!doubtful.is_empty(), "nothing was in doubt: the region did not die in the middle");
    nothing_of_anybody(&taken)
}
