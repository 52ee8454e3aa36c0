//! The outbox is a demonstration's only.

use kit::params;
use kit::policy::Role;
use kit::testing::World;
use messages::MessagesFunction;
use serde_json::json;

#[tokio::test]
async fn newest_first_and_of_this_clinic_only() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at)
               VALUES (?, ?, 'to@example.org', 'S', 'B', 'https://x/#t', ?)";
    let ids = ["0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c11", "0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c12"];
    for (clinic, id, at) in [("demo", ids[0], 1000_i64), ("demo", ids[1], 2000), ("other", ids[0], 3000)] {
        world.run(sql, params![clinic, id, at]).await;
    }
    let desk = world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let answer = desk.get::<MessagesFunction>("/messages/outbox").await;
    let message = |id: &str, at: &str| {
        json!({"id": id, "createdAt": at, "to": "to@example.org", "subject": "S", "body": "B",
               "link": "https://x/#t"})
    };
    let expected = [message(ids[1], "1970-01-01T00:00:02Z"), message(ids[0], "1970-01-01T00:00:01Z")];
    assert_eq!(answer.body["messages"], json!(expected));
}

#[tokio::test]
async fn elsewhere_it_is_not_there() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let desk = world.client("demo");
    assert_eq!(desk.get::<MessagesFunction>("/messages/outbox").await.refusal(), (401, "sign-in-required"));
    desk.sign_in_as(Role::ClinicAdmin).await;
    assert_eq!(desk.get::<MessagesFunction>("/messages/outbox").await.status, 200);
    for value in ["false", "", "yes"] {
        world.set("demo", value);
        assert_eq!(
            desk.get::<MessagesFunction>("/messages/outbox").await.refusal(),
            (404, "no-route"),
            "{value}"
        );
    }
    world.set("demo", "true");
    let doctor = world.client("demo");
    doctor.sign_in_as(Role::Doctor).await;
    assert_eq!(doctor.get::<MessagesFunction>("/messages/outbox").await.refusal(), (403, "role-not-allowed"));
}
