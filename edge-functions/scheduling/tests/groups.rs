//! Several patients in one time, and rooms of a site: no more than there are places, nobody in two at once.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::sync::{Arc, Barrier};

use jiff::SignedDuration;
use kit::ids::{HoursId, PractitionerId, ServiceId, SiteId, SiteRoomId};
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Seeded, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

const TEN: &str = "2026-03-02T09:00:00Z";

async fn group_of(world: &World, capacity: u32) -> Seeded {
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.run("UPDATE service SET capacity = ?", params![capacity]).await;
    seeded
}

fn wish(seeded: &Seeded, start: &str) -> Json {
    json!({"service": seeded.service, "practitioner": seeded.practitioner, "start": start})
}

async fn hold(world: &World, wish: Json) -> Answer {
    world.client("demo").post::<SchedulingFunction>("/scheduling/holds", wish).await
}

async fn slot(world: &World, seeded: &Seeded, start: &str) -> Option<Json> {
    let path = format!("/scheduling/slots?service={}&from=2026-03-02&days=1", seeded.service);
    let answer = world.client("demo").get::<SchedulingFunction>(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["slots"].as_array().unwrap().iter().find(|slot| slot["start"] == start).cloned()
}

/// Whether so many rivals, each on a connection of their own, were told yes.
fn winners(world: &World, rivals: usize, wish: impl Fn(usize) -> Json) -> usize {
    let start = Arc::new(Barrier::new(rivals));
    let threads: Vec<_> = (0..rivals)
        .map(|at| {
            let (file, wish, start) = (world.file().to_owned(), wish(at), Arc::clone(&start));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let world = World::open(&file).await;
                    start.wait();
                    let answer = hold(&world, wish).await;
                    assert!(
                        answer.status == 201 || answer.refusal() == (409, "slot-taken"),
                        "{}",
                        answer.body
                    );
                    answer.status == 201
                })
            })
        })
        .collect();
    threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
}

#[tokio::test]
async fn of_rivals_for_n_places_exactly_n_win() {
    let world = World::new().await;
    let seeded = group_of(&world, 5).await;
    assert_eq!(winners(&world, 12, |_| wish(&seeded, TEN)), 5);
    let places = world.query("SELECT place FROM hold ORDER BY place", vec![]).await;
    let places: Vec<_> = places.iter().map(|row| row.integer(0).unwrap()).collect();
    assert_eq!(places, [1, 2, 3, 4, 5], "each has its own");
}

#[tokio::test]
async fn a_time_has_as_many_places_as_are_left() {
    let world = World::new().await;
    let seeded = group_of(&world, 3).await;
    assert_eq!(slot(&world, &seeded, TEN).await.unwrap()["placesLeft"], 3);
    world.seed_place(&seeded, TEN, 1).await;
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.status, 201);
    assert_eq!(slot(&world, &seeded, TEN).await.unwrap()["placesLeft"], 1);
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.status, 201);
    assert!(slot(&world, &seeded, TEN).await.is_none());
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.refusal(), (409, "slot-taken"));

    // A place that gets free is had again, whichever it was.
    world.run("UPDATE appointment SET status = 'cancelled'", vec![]).await;
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.status, 201);
    assert_eq!(world.count("SELECT count(*) FROM hold WHERE place = 1 AND used_at IS NULL").await, 1);

    // Places that are not there any more are not given, and those who have them keep them.
    world.run("UPDATE service SET capacity = 2", vec![]).await;
    assert!(slot(&world, &seeded, TEN).await.is_none());
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.refusal(), (409, "slot-taken"));
    world.advance(SignedDuration::from_mins(10));
    assert_eq!(slot(&world, &seeded, TEN).await.unwrap()["placesLeft"], 2, "holds expire");
}

#[tokio::test]
async fn another_service_of_the_practitioner_is_no_place_of_the_group() {
    let world = World::new().await;
    let seeded = group_of(&world, 3).await;
    let alone = Seeded { service: ServiceId::new(world.now()).unwrap(), ..seeded.clone() };
    let sql = "INSERT INTO service (clinic, id, name, duration_minutes, price_minor, currency)
               VALUES ('demo', ?, 'Alone', 30, 0, 'EUR')";
    world.run(sql, params![alone.service]).await;
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.status, 201);
    assert!(slot(&world, &alone, TEN).await.is_none());
    assert_eq!(hold(&world, wish(&alone, TEN)).await.refusal(), (409, "slot-taken"));
    assert_eq!(hold(&world, wish(&alone, "2026-03-02T09:30:00Z")).await.status, 201);
    assert!(slot(&world, &seeded, "2026-03-02T09:30:00Z").await.is_none());
    assert_eq!(hold(&world, wish(&seeded, "2026-03-02T09:30:00Z")).await.refusal(), (409, "slot-taken"));
}

#[tokio::test]
async fn whoever_is_free_means_a_group_that_has_begun() {
    let world = World::new().await;
    let seeded = group_of(&world, 2).await;
    let other = another_practitioner(&world).await;
    let anybody = || json!({"service": seeded.service, "start": TEN});
    let first = hold(&world, anybody()).await;
    let with = first.text("/practitioner/id").to_owned();
    assert_eq!(hold(&world, anybody()).await.text("/practitioner/id"), with);
    let third = hold(&world, anybody()).await;
    assert_ne!(third.text("/practitioner/id"), with);
    assert!([seeded.practitioner.to_string(), other.to_string()].contains(&with));
}

/// With the same hours.
async fn another_practitioner(world: &World) -> PractitionerId {
    let id = PractitionerId::new(world.now()).unwrap();
    let sql = "INSERT INTO practitioner (clinic, id, user, name)
               SELECT clinic, ?, user, 'Dr Green' FROM practitioner WHERE clinic = 'demo' LIMIT 1";
    world.run(sql, params![id]).await;
    let sql = "INSERT INTO opening_hours (clinic, id, practitioner, rrule, opens, closes, site)
               SELECT clinic, ?, ?, rrule, opens, closes, site FROM opening_hours LIMIT 1";
    world.run(sql, params![HoursId::new(world.now()).unwrap(), id]).await;
    id
}

/// A site with so many rooms, where everybody is and every visit needs one.
async fn with_rooms(world: &World, rooms: usize) -> Seeded {
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let site = SiteId::new(world.now()).unwrap();
    let sql = "INSERT INTO site (clinic, id, key, name, address, time_zone, created_at)
               VALUES ('demo', ?, 'main', 'Main house', '1 Main St', 'Europe/Berlin', ?)";
    world.run(sql, params![site, world.now()]).await;
    for at in 0..rooms {
        let sql =
            "INSERT INTO site_room (clinic, id, site, key, name, created_at) VALUES ('demo', ?, ?, ?, ?, ?)";
        let (id, name) = (SiteRoomId::new(world.now()).unwrap(), format!("Room {at}"));
        world.run(sql, params![id, site, format!("r{at}"), name, world.now()]).await;
    }
    world.run("UPDATE opening_hours SET site = ?", params![site]).await;
    world.run("UPDATE service SET needs_room = 1", vec![]).await;
    seeded
}

#[tokio::test]
async fn no_room_is_given_to_two_visits_at_once() {
    let world = World::new().await;
    let seeded = with_rooms(&world, 1).await;
    let other = Seeded { practitioner: another_practitioner(&world).await, ..seeded.clone() };
    // Of two who have time only one has a room.
    assert_eq!(winners(&world, 8, |at| wish(if at % 2 == 0 { &seeded } else { &other }, TEN)), 1);
    assert!(slot(&world, &seeded, TEN).await.is_none(), "for neither of them");
    assert_eq!(hold(&world, wish(&other, "2026-03-02T09:30:00Z")).await.status, 201, "afterwards it is free");
    // What a practitioner needs afterwards, they need the room for.
    world.run("UPDATE service SET buffer_after_minutes = 30", vec![]).await;
    assert!(slot(&world, &seeded, "2026-03-02T10:00:00Z").await.is_none());
    world.run("UPDATE service SET buffer_after_minutes = 0", vec![]).await;
    world.advance(SignedDuration::from_mins(10));
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.status, 201, "and once the hold has expired");
}

#[tokio::test]
async fn a_group_shares_its_room_and_the_day_shows_it() {
    let world = World::new().await;
    let seeded = with_rooms(&world, 2).await;
    world.run("UPDATE service SET capacity = 2", vec![]).await;
    let other = Seeded { practitioner: another_practitioner(&world).await, ..seeded.clone() };
    for who in [&seeded, &other, &seeded, &other] {
        assert_eq!(hold(&world, wish(who, TEN)).await.status, 201);
    }
    let rooms = world.count("SELECT count(DISTINCT room || practitioner) FROM hold").await;
    assert_eq!((rooms, world.count("SELECT count(DISTINCT room) FROM hold").await), (2, 2));

    let booked = world.seed_place(&seeded, "2026-03-02T08:00:00Z", 2).await;
    let sql = "UPDATE hold SET (site, room) = (SELECT site, id FROM site_room ORDER BY key LIMIT 1)
               WHERE id = (SELECT hold FROM appointment WHERE id = ?)";
    world.run(sql, params![booked.appointment]).await;
    let desk = world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let day = desk.get::<SchedulingFunction>("/scheduling/appointments?date=2026-03-02").await;
    let shown = &day.body["appointments"][0];
    assert_eq!(shown["group"], json!({"place": 2, "capacity": 2}));
    assert_eq!((&shown["site"]["name"], &shown["room"]["name"]), (&json!("Main house"), &json!("Room 0")));
}

#[tokio::test]
async fn where_there_is_no_room_there_is_no_time() {
    let world = World::new().await;
    let seeded = with_rooms(&world, 0).await;
    assert!(slot(&world, &seeded, TEN).await.is_none());
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.refusal(), (409, "slot-taken"));
    world.run("UPDATE service SET needs_room = 0", vec![]).await;
    assert_eq!(hold(&world, wish(&seeded, TEN)).await.status, 201);
}

#[tokio::test]
async fn the_database_itself_refuses_a_second_appointment_in_a_place() {
    let world = World::new().await;
    let seeded = group_of(&world, 3).await;
    let first = world.seed_place(&seeded, TEN, 1).await;
    world.seed_place(&seeded, TEN, 2).await;
    let copy = "INSERT INTO appointment
                  (clinic, id, hold, patient, practitioner, service, start_at, end_at, status, created_at, place)
                SELECT clinic, 'copy', hold || 'x', patient, practitioner, service, start_at, end_at, status,
                  created_at, 2 FROM appointment WHERE id = ?";
    let twice = world.try_run(copy, params![first.appointment]).await;
    assert!(twice.unwrap_err().is_duplicate_of("appointment."), "two appointments in one place");
}
