//! Sites with their time zones, buffers, days that are not like others, and whoever is free.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeMap;

use kit::ids::{ExceptionId, HoursId, PractitionerId, SiteId};
use kit::params;
use kit::testing::{Answer, Client, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::json;

const EVERY_DAY: &str = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU";

struct Practice {
    world: World,
    seeded: Seeded,
    site: SiteId,
}

/// Beside the hours from 9 to 12 in Berlin, from 9 to 10 in New York.
async fn practice() -> Practice {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let site = SiteId::new(world.now()).unwrap();
    let sql = "INSERT INTO site (clinic, id, key, name, address, time_zone, created_at)
               VALUES ('demo', ?, 'ny', 'Manhattan', '1 Some Street', 'America/New_York', ?)";
    world.run(sql, params![site, world.now()]).await;
    let practice = Practice { world, seeded, site };
    practice.opens(practice.seeded.practitioner, Some(site), "09:00", "10:00").await;
    practice
}

impl Practice {
    async fn opens(&self, who: PractitionerId, site: Option<SiteId>, from: &str, until: &str) {
        let sql = "INSERT INTO opening_hours (clinic, id, practitioner, rrule, opens, closes, site)
                   VALUES ('demo', ?, ?, ?, ?, ?, ?)";
        let id = HoursId::new(self.world.now()).unwrap();
        self.world.run(sql, params![id, who, EVERY_DAY, from, until, site]).await;
    }

    async fn except(&self, who: Option<PractitionerId>, day: &str, hours: Option<(&str, &str)>) {
        let sql = "INSERT INTO hours_exception
                     (clinic, id, practitioner, name, from_day, until_day, opens, closes)
                   VALUES ('demo', ?, ?, 'Holiday', ?, ?, ?, ?)";
        let id = ExceptionId::new(self.world.now()).unwrap();
        let (opens, closes) = (hours.map(|(opens, _)| opens), hours.map(|(_, closes)| closes));
        self.world.run(sql, params![id, who, day, day, opens, closes]).await;
    }

    async fn buffers(&self, before: i64, after: i64) {
        let sql = "UPDATE service SET buffer_before_minutes = ?, buffer_after_minutes = ?";
        self.world.run(sql, params![before, after]).await;
    }

    async fn starts(&self, day: &str, more: &str) -> Vec<String> {
        let path = format!("/scheduling/slots?service={}&from={day}&days=1{more}", self.seeded.service);
        let answer = self.world.client("demo").get::<SchedulingFunction>(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let slots = answer.body["slots"].as_array().unwrap();
        slots.iter().map(|slot| slot["start"].as_str().unwrap()[11..16].to_owned()).collect()
    }

    async fn hold(&self, client: &Client<'_>, start: &str) -> Answer {
        let wish = json!({"service": self.seeded.service, "start": start});
        client.post::<SchedulingFunction>("/scheduling/holds", wish).await
    }
}

#[tokio::test]
async fn a_site_keeps_its_own_time_across_the_clock_changes_of_both() {
    let practice = practice().await;
    let there = format!("&site={}", practice.site);
    // New York changes on 8 March, Berlin on 29 March: in between they are five hours apart.
    assert_eq!(practice.starts("2026-03-07", &there).await, ["14:00", "14:30"]);
    assert_eq!(practice.starts("2026-03-09", &there).await, ["13:00", "13:30"]);
    assert_eq!(practice.starts("2026-03-30", &there).await, ["13:00", "13:30"]);
    assert_eq!(practice.starts("2026-10-26", &there).await, ["13:00", "13:30"]);
    assert_eq!(practice.starts("2026-11-02", &there).await, ["14:00", "14:30"]);
    assert_eq!(practice.starts("2026-03-09", "").await.len(), 8, "both sites");
    let clinic = practice.world.client("demo").get::<SchedulingFunction>("/scheduling/clinic").await;
    assert_eq!(clinic.text("/sites/0/timeZone"), "America/New_York");
    let unknown = format!(
        "/scheduling/slots?service={}&from=2026-03-09&site={}",
        practice.seeded.service,
        SiteId::new(practice.world.now()).unwrap()
    );
    let answer = practice.world.client("demo").get::<SchedulingFunction>(&unknown).await;
    assert_eq!(answer.refusal(), (404, "not-found"));
}

#[tokio::test]
async fn what_is_needed_before_and_after_is_kept_free() {
    let practice = practice().await;
    practice.buffers(10, 20).await;
    // Blocks of an hour from 8:00 UTC; the patient comes ten minutes into each.
    assert_eq!(practice.starts("2026-03-03", "").await, ["08:10", "09:10", "10:10", "14:10"]);
    let client = practice.world.client("demo");
    let held = practice.hold(&client, "2026-03-03T09:10:00Z").await;
    assert_eq!((held.status, held.text("/end").as_str()), (201, "2026-03-03T09:40:00Z"), "{}", held.body);
    assert_eq!(practice.starts("2026-03-03", "").await, ["08:10", "10:10", "14:10"]);
    // Without buffers 9:30 would touch nothing; 10:00 still needs nothing of what is kept after 9:40.
    practice.buffers(0, 0).await;
    assert_eq!(practice.hold(&client, "2026-03-03T09:00:00Z").await.refusal(), (409, "slot-taken"));
    practice.buffers(0, 25).await;
    let slots = practice.starts("2026-03-03", "").await;
    assert!(!slots.contains(&"09:50".to_owned()) && slots.contains(&"08:00".to_owned()), "{slots:?}");
}

#[tokio::test]
async fn days_that_are_not_like_others() {
    let practice = practice().await;
    let doctor = practice.seeded.practitioner;
    practice.except(None, "2026-03-03", None).await;
    practice.except(None, "2026-03-04", Some(("11:00", "18:00"))).await;
    practice.except(Some(doctor), "2026-03-05", Some(("14:00", "15:00"))).await;
    practice.except(Some(doctor), "2026-03-06", None).await;
    assert!(practice.starts("2026-03-03", "").await.is_empty(), "closed");
    // In Berlin 11 to 12; in New York the hours are over before eleven.
    assert_eq!(practice.starts("2026-03-04", "").await, ["10:00", "10:30"]);
    assert_eq!(practice.starts("2026-03-05", "").await, ["13:00", "13:30"], "in place of theirs");
    assert!(practice.starts("2026-03-06", "").await.is_empty());
    let client = practice.world.client("demo");
    let closed = practice.hold(&client, "2026-03-03T08:00:00Z").await;
    assert_eq!(closed.refusal(), (422, "not-a-slot"));
}

#[tokio::test]
async fn whoever_is_free_takes_turns() {
    let practice = practice().await;
    let mut people = vec![practice.seeded.practitioner];
    for name in ["Dr Blue", "Dr Red"] {
        let id = PractitionerId::new(practice.world.now()).unwrap();
        let sql = "INSERT INTO practitioner (clinic, id, user, name) VALUES ('demo', ?, ?, ?)";
        practice.world.run(sql, params![id, practice.seeded.doctor, name]).await;
        practice.opens(id, None, "09:00", "12:00").await;
        people.push(id);
    }
    let client = practice.world.client("demo");
    let mut turns = BTreeMap::new();
    for start in ["08:00", "08:30", "09:00", "09:30", "10:00", "10:30"] {
        let held = practice.hold(&client, &format!("2026-03-03T{start}:00Z")).await;
        assert_eq!(held.status, 201, "{}", held.body);
        *turns.entry(held.text("/practitioner/id")).or_insert(0) += 1;
    }
    assert_eq!(turns.values().copied().collect::<Vec<_>>(), [2, 2, 2], "{turns:?}");
    // The two who are left at eight, then nobody.
    for _ in 0..2 {
        assert_eq!(practice.hold(&client, "2026-03-03T08:00:00Z").await.status, 201);
    }
    let lost = practice.hold(&client, "2026-03-03T08:00:00Z").await;
    assert_eq!(lost.refusal(), (409, "slot-taken"));
    assert!(!lost.body["alternatives"].as_array().unwrap().is_empty());
    // Somebody who has left is nobody's choice.
    practice.world.run("UPDATE staff_user SET left_at = 1", vec![]).await;
    assert!(practice.starts("2026-03-04", "").await.is_empty());
}
