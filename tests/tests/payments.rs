//! Cards, from the booking to the refund, against a service that speaks Stripe's API: what is told twice, late, forged or
//! never changes nothing, and the books agree with the service's to the cent.

use anyhow::{Context, Result, bail, ensure};
use locum_network_tests::{Answer, Browser, Hold, Network, Patient, Planted, Stripe, Visit, hold};
use reqwest::Method;
use serde_json::{Value, json};

const GOOD: &str = "4242424242424242";
const DECLINED: &str = "4000000000000341";
const ASKS_THE_BANK: &str = "4000002500003155";

struct Place {
    network: Network,
    stripe: Stripe,
    desk: Browser,
    doctor: Browser,
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_from_the_booking_to_the_refund() -> Result<()> {
    let stripe = Stripe::start()?;
    let options = stripe.options();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let network = Network::start_with(1, &options)?;
    let (desk, doctor) = (signed_in(&network, "front-desk").await?, signed_in(&network, "doctor").await?);
    let mut place = Place { network, stripe, desk, doctor };

    let visit = paid_booking(&place).await?;
    declined_and_abandoned(&place).await?;
    the_bank_asks(&place).await?;
    lost_and_forged(&place).await?;
    a_card_is_kept_for_later(&place).await?;
    captured_at_the_end(&place, &visit).await?;
    given_back_once(&place, &visit).await?;
    the_books_agree(&place).await?;
    no_card_is_anywhere(&mut place)
}

async fn signed_in(network: &Network, role: &str) -> Result<Browser> {
    let browser = Browser::new(network)?;
    let answer = browser.sign_in(&network.account(role)?).await?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(browser)
}

struct Begun {
    browser: Browser,
    hold: Hold,
    client_secret: String,
    kind: String,
}

impl Begun {
    /// What the page asks once the provider's fields are done.
    async fn check(&self) -> Result<Answer> {
        let path = format!("/payments/card-payments/{}/check", self.hold.id);
        self.browser.post(&path, &json!({"secret": self.hold.secret})).await
    }
}

async fn begin(place: &Place, number: usize) -> Result<Begun> {
    let browser = Browser::new(&place.network)?;
    let hold = browser.hold_any().await?;
    begin_for(browser, hold, number).await
}

async fn begin_for(browser: Browser, hold: Hold, number: usize) -> Result<Begun> {
    let patient = Patient::numbered(number);
    let body = json!({"hold": hold.id, "secret": hold.secret, "patient": {
        "name": patient.name, "birthDate": "1956-03-14", "email": patient.email}});
    let answer = browser.post("/payments/card-payments", &body).await?;
    ensure!(answer.status == 201, "{answer:?}");
    let text = |key: &str| answer.body[key].as_str().map(str::to_owned).with_context(|| key.to_owned());
    Ok(Begun { browser, hold, client_secret: text("clientSecret")?, kind: text("kind")? })
}

async fn paid_booking(place: &Place) -> Result<Visit> {
    let begun = begin(place, 1).await?;
    ensure!(begun.kind == "payment", "{}", begun.kind);
    let unpaid = begun.check().await?;
    ensure!(unpaid.status == 402 && unpaid.problem() == "payment-open", "{unpaid:?}");
    let paid = place.stripe.pay(&begun.client_secret, GOOD).await?;
    ensure!(paid["status"] == "requires_capture", "{paid}");
    let booked = begun.check().await?;
    ensure!(booked.status == 200, "{booked:?}");
    let appointment = booked.body["appointment"]["id"].as_str().context("no appointment")?.to_owned();
    let again = begun.check().await?;
    ensure!(again.body == booked.body, "{again:?}");
    // Told twice after it was known: nothing more.
    for event in place.stripe.events("payment_intent.amount_capturable_updated").await? {
        for _ in 0..2 {
            ensure!(place.stripe.tell(&place.network, &event, 0, true).await? == 204);
        }
    }
    let outbox = place.desk.get("/messages/outbox").await?;
    let mail = &Patient::numbered(1).email;
    let messages = outbox["messages"].as_array().context("no messages")?;
    let links: Vec<_> = messages.iter().filter(|message| message["to"] == mail.as_str()).collect();
    ensure!(links.len() == 1, "{} invitations", links.len());
    let token = links[0]["link"].as_str().and_then(|link| link.split_once('#')).context("no link")?.1;
    Ok(Visit { appointment, token: token.to_owned() })
}

async fn declined_and_abandoned(place: &Place) -> Result<()> {
    let declined = begin(place, 2).await?;
    place.stripe.pay(&declined.client_secret, DECLINED).await?;
    let answer = declined.check().await?;
    ensure!(answer.status == 402 && answer.problem() == "payment-declined", "{answer:?}");
    // Another card, the same hold.
    place.stripe.pay(&declined.client_secret, GOOD).await?;
    ensure!(declined.check().await?.status == 200);

    let abandoned = begin(place, 3).await?;
    let paid = abandoned.browser.confirm(&abandoned.hold, &Patient::numbered(3)).await?;
    ensure!(paid.status == 201, "whoever gives up on the card pays at the clinic: {paid:?}");
    Ok(())
}

async fn the_bank_asks(place: &Place) -> Result<()> {
    let asked = begin(place, 4).await?;
    let paid = place.stripe.pay(&asked.client_secret, ASKS_THE_BANK).await?;
    ensure!(paid["status"] == "requires_action", "{paid}");
    let answer = asked.check().await?;
    ensure!(answer.status == 402 && answer.problem() == "payment-action-required", "{answer:?}");
    place.stripe.authenticate(&asked.client_secret, false).await?;
    ensure!(asked.check().await?.problem() == "payment-declined");
    place.stripe.pay(&asked.client_secret, ASKS_THE_BANK).await?;
    place.stripe.authenticate(&asked.client_secret, true).await?;
    ensure!(asked.check().await?.status == 200);
    Ok(())
}

/// The page was closed: nobody asks.
async fn lost_and_forged(place: &Place) -> Result<()> {
    let booked = async || -> Result<usize> {
        let outbox = place.desk.get("/messages/outbox").await?;
        Ok(outbox["messages"].as_array().map_or(0, Vec::len))
    };
    let before = booked().await?;
    let told = begin(place, 5).await?;
    let known = place.stripe.events("payment_intent.amount_capturable_updated").await?;
    place.stripe.pay(&told.client_secret, GOOD).await?;
    let mut events = place.stripe.events("payment_intent.amount_capturable_updated").await?;
    events.retain(|event| !known.contains(event));
    let [event] = &events[..] else { bail!("{events:?}") };
    for (age, genuine) in [(0, false), (301, true)] {
        ensure!(place.stripe.tell(&place.network, event, age, genuine).await? == 400);
    }
    ensure!(booked().await? == before, "a forged event booked a visit");
    for _ in 0..3 {
        ensure!(place.stripe.tell(&place.network, event, 0, true).await? == 204);
    }
    ensure!(booked().await? == before + 1, "told three times");
    // In the wrong order, a payment that failed before it went well.
    for event in place.stripe.events("payment_intent.payment_failed").await? {
        ensure!(place.stripe.tell(&place.network, &event, 0, true).await? == 204);
    }
    ensure!(told.check().await?.status == 200);
    Ok(())
}

async fn a_card_is_kept_for_later(place: &Place) -> Result<()> {
    let browser = Browser::new(&place.network)?;
    let slots = browser.slots_within(10..17).await?;
    let held = browser.post("/scheduling/holds", slots.first().context("no slot in ten days")?).await?;
    let begun = begin_for(browser, hold(&held.body)?, 6).await?;
    ensure!(begun.kind == "setup", "{}", begun.kind);
    let saved = place.stripe.pay(&begun.client_secret, GOOD).await?;
    ensure!(saved["status"] == "succeeded", "{saved}");
    let booked = begun.check().await?;
    ensure!(booked.status == 200, "{booked:?}");
    Ok(())
}

async fn invoice_of(staff: &Browser, visit: &Visit) -> Result<Value> {
    let start =
        staff.appointment(&visit.appointment).await?["start"].as_str().context("no start")?.to_owned();
    let zone = staff.get("/scheduling/clinic").await?["timeZone"].as_str().context("no zone")?.to_owned();
    let date = start.parse::<jiff::Timestamp>()?.in_tz(&zone)?.date();
    let listed = staff.get(&format!("/payments/invoices?date={date}")).await?;
    let mut invoices = listed["invoices"].as_array().into_iter().flatten();
    let found = invoices.find(|invoice| invoice["visit"]["id"] == visit.appointment.as_str());
    found.cloned().context("no invoice")
}

async fn captured_at_the_end(place: &Place, visit: &Visit) -> Result<()> {
    let patient = Browser::new(&place.network)?;
    patient.be_admitted(&place.doctor, visit).await?;
    ensure!(invoice_of(&place.desk, visit).await?["card"]["state"] == "authorised");
    let end = format!("/scheduling/appointments/{}/end", visit.appointment);
    ensure!(place.doctor.post(&end, &json!({})).await?.status == 200);
    // Once it is written down, once it is asked for, and its answer is lost.
    place.stripe.lose_answer(&capture_of(place).await?).await?;
    for _ in 0..4 {
        let run = place.desk.post("/payments/reconciliations", &json!({})).await?;
        ensure!(run.status == 200, "{run:?}");
    }
    let invoice = invoice_of(&place.desk, visit).await?;
    ensure!(invoice["card"]["state"] == "captured" && invoice["status"] == "balanced", "{invoice}");
    ensure!(place.stripe.asked("payment_intents/*/capture").await? == 1);
    let own = patient.get("/payments/visit-invoice").await?;
    ensure!(own["invoice"]["paid"] == invoice["charged"], "{own}");
    let printed = "/payments/visit-invoice/document?kind=receipt&language=es";
    let receipt = patient.send(Method::GET, printed, None).await?;
    ensure!(receipt.status == 200 && receipt.headers["content-type"] == "application/pdf", "{receipt:?}");
    Ok(())
}

/// The address at which the only payment that is not booked for later is captured.
async fn capture_of(place: &Place) -> Result<String> {
    let books = place.stripe.books().await?;
    let id = books["intents"][0]["id"].as_str().context("no payment")?;
    Ok(format!("payment_intents/{id}/capture"))
}

async fn given_back_once(place: &Place, visit: &Visit) -> Result<()> {
    let billing = signed_in(&place.network, "clinic-admin").await?;
    let invoice = invoice_of(&billing, visit).await?;
    let path = format!("/payments/invoices/{}", invoice["id"].as_str().context("no id")?);
    let currency = &invoice["currency"];
    let wish = |id: u8, amount: &str| {
        json!({"id": format!("00000000-0000-7000-8000-0000000000{id:02}"),
            "amount": {"amount": amount, "currency": currency}})
    };
    // The answer is lost after the money went back; then the request is sent again, by us and by the page.
    place.stripe.lose_answer("refunds").await?;
    let part = wish(1, "15.00");
    for _ in 0..2 {
        ensure!(billing.post(&format!("{path}/refunds"), &part).await?.status == 200);
        let settled = billing.post(&format!("{path}/settle"), &json!({})).await?;
        ensure!([200, 503].contains(&settled.status), "{settled:?}");
    }
    let settled = billing.post(&format!("{path}/settle"), &json!({})).await?;
    ensure!(settled.body["invoice"]["refunded"] == "15.00", "{settled:?}");
    ensure!(place.stripe.asked("refunds").await? == 1, "money went back more than once");
    let charged = minor(&invoice["charged"])?;
    let amount = |minor: i64| format!("{}.{:02}", minor / 100, minor % 100);
    let left = billing.post(&format!("{path}/refunds"), &wish(2, &amount(charged - 1_499))).await?;
    ensure!(left.status == 409 && left.problem() == "amount-out-of-range", "{left:?}");
    ensure!(
        billing.post(&format!("{path}/refunds"), &wish(3, &amount(charged - 1_500))).await?.status == 200
    );
    let settled = billing.post(&format!("{path}/settle"), &json!({})).await?;
    ensure!(settled.body["invoice"]["refunded"] == invoice["charged"], "{settled:?}");
    Ok(())
}

/// An amount with its sign, in minor units.
fn minor(amount: &Value) -> Result<i64> {
    Ok(amount.as_str().context("no amount")?.replace('.', "").parse()?)
}

async fn the_books_agree(place: &Place) -> Result<()> {
    let admin = signed_in(&place.network, "clinic-admin").await?;
    // One more visit is paid for and ends, so that there is a balance.
    let begun = begin(place, 7).await?;
    place.stripe.pay(&begun.client_secret, GOOD).await?;
    let booked = begun.check().await?;
    ensure!(booked.status == 200, "{booked:?}");
    let appointment = booked.body["appointment"]["id"].as_str().context("no appointment")?.to_owned();
    let visit = Visit { appointment, token: String::new() };
    let invoice = invoice_of(&admin, &visit).await?;
    let path = format!("/payments/invoices/{}", invoice["id"].as_str().context("no id")?);
    ensure!(place.desk.post(&format!("{path}/capture"), &json!({})).await?.status == 200);
    let settled = admin.post(&format!("{path}/settle"), &json!({})).await?;
    ensure!(settled.body["invoice"]["status"] == "balanced", "{settled:?}");

    let today = jiff::Zoned::now().date();
    let (from, until) = (today.yesterday()?, today.tomorrow()?);
    let report = admin.get(&format!("/payments/report?from={from}&until={until}")).await?;
    let lines = report["lines"].as_array().context("no lines")?.iter();
    let provider = lines.filter(|line| line["account"] == "provider");
    let net = provider.map(|line| minor(&line["net"])).collect::<Result<Vec<_>>>()?;
    let books = place.stripe.books().await?;
    ensure!(
        !net.is_empty() && books["balance_minor"] == net.iter().sum::<i64>(),
        "{report}: {}",
        books["balance_minor"]
    );
    // All of the first went back; what is left is the second.
    ensure!(books["balance_minor"] == minor(&invoice["charged"])?, "{}", books["balance_minor"]);
    Ok(())
}

fn no_card_is_anywhere(place: &mut Place) -> Result<()> {
    place.network.stop()?;
    let planted = Planted::new([GOOD, DECLINED, ASKS_THE_BANK])?;
    let searched = planted.absent_below(&place.network.data())?;
    ensure!(searched > 5, "only {searched} files were searched");
    planted.absent_below(&place.network.temporary())?;
    planted.absent_below(&place.network.working())?;
    Ok(())
}
