//! Wrong attempts in a row.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::sync::Barrier;
use std::thread;

use auth::{AuthFunction, lockout, password};
use jiff::SignedDuration;
use kit::params;
use kit::testing::{Answer, World};
use serde_json::json;

const PASSWORD: &str = "correct horse battery";

async fn world() -> World {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let hash = password::hash(PASSWORD).unwrap();
    world
        .run(
            "UPDATE staff_user SET username = 'grey', password_hash = ? WHERE id = ?",
            params![hash, seeded.doctor],
        )
        .await;
    world
}

async fn attempt(world: &World, username: &str, password: &str) -> Answer {
    let body = json!({"username": username, "password": password});
    world.client("demo").post::<AuthFunction>("/auth/sessions", body).await
}

#[tokio::test]
async fn after_ten_the_right_password_is_refused_too_and_a_name_that_nobody_has_looks_the_same() {
    let world = world().await;
    for username in ["grey", "nobody"] {
        for n in 1..=lockout::FREE {
            let answer = attempt(&world, username, "wrong").await;
            assert_eq!(answer.refusal(), (401, "bad-credentials"), "{username} {n}");
        }
        let locked = attempt(&world, username, PASSWORD).await;
        assert_eq!(locked.refusal(), (429, "too-many-attempts"), "{username}");
        assert_eq!(locked.headers["retry-after"], "900", "{username}");
    }
    let locks = world.audit_trail().into_iter().filter(|line| line.ends_with("sign-in-locked")).count();
    assert_eq!(locks, 2);
    let names: Vec<_> = world.query("SELECT subject FROM sign_in_failure ORDER BY 1", vec![]).await;
    assert_eq!(names[0].text(0).unwrap().len(), "name/abcd".len(), "a name nobody has is kept nowhere");

    world.advance(lockout::LOCKED);
    assert_eq!(attempt(&world, "grey", PASSWORD).await.status, 201);
}

#[tokio::test]
async fn after_a_lock_each_wrong_attempt_locks_again_until_one_is_right() {
    let world = world().await;
    world.run("UPDATE clinic SET second_factor = 'privileged'", vec![]).await;
    world.run("UPDATE staff_role SET role = 'front-desk'", vec![]).await;
    for _ in 0..lockout::FREE {
        attempt(&world, "grey", "wrong").await;
    }
    world.advance(lockout::LOCKED);
    assert_eq!(attempt(&world, "grey", "wrong").await.status, 401);
    assert_eq!(attempt(&world, "grey", PASSWORD).await.status, 429);
    world.advance(lockout::LOCKED);
    assert_eq!(attempt(&world, "grey", PASSWORD).await.status, 201);
    for _ in 1..lockout::FREE {
        assert_eq!(attempt(&world, "grey", "wrong").await.status, 401, "it counts from the beginning again");
    }
    assert_eq!(attempt(&world, "grey", PASSWORD).await.status, 201);
}

#[tokio::test]
async fn a_right_password_does_not_forget_what_the_second_factor_still_owes() {
    let world = world().await;
    world
        .run("INSERT INTO totp_factor SELECT clinic, id, zeroblob(20), 0, 1, 0 FROM staff_user", vec![])
        .await;
    let client = world.client("demo");
    for n in 1..=lockout::FREE {
        let body = json!({"username": "grey", "password": PASSWORD});
        assert_eq!(client.post::<AuthFunction>("/auth/sessions", body).await.status, 201, "{n}");
        let answer = client.post::<AuthFunction>("/auth/second-factor", json!({"totp": "000000"})).await;
        assert_eq!(answer.refusal(), (401, "wrong-second-factor"), "{n}");
    }
    assert_eq!(
        client.post::<AuthFunction>("/auth/second-factor", json!({"totp": "000000"})).await.status,
        429
    );
    assert_eq!(attempt(&world, "grey", PASSWORD).await.status, 429);
}

#[tokio::test]
async fn attempts_of_yesterday_are_forgotten() {
    let world = world().await;
    for _ in 1..lockout::FREE {
        attempt(&world, "grey", "wrong").await;
    }
    world.advance(SignedDuration::from_hours(24));
    for _ in 1..lockout::FREE {
        assert_eq!(attempt(&world, "grey", "wrong").await.status, 401);
    }
    assert_eq!(attempt(&world, "grey", PASSWORD).await.status, 201);
}

/// Instances of the component run side by side, and look before they write: the slow hash is between.
#[tokio::test]
async fn of_attempts_at_the_same_time_no_more_than_ten_learn_anything() {
    const ATTEMPTS: usize = 16;
    let world = world().await;
    let (file, together) = (world.file().to_owned(), Barrier::new(ATTEMPTS));
    let try_once = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::open(&file).await;
            together.wait();
            attempt(&world, "grey", "wrong").await.status
        })
    };
    let answers: Vec<u16> = thread::scope(|scope| {
        let attempts: Vec<_> = (0..ATTEMPTS).map(|_| scope.spawn(try_once)).collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect()
    });
    let learned = answers.iter().filter(|status| **status == 401).count();
    assert_eq!(learned, usize::try_from(lockout::FREE).unwrap(), "{answers:?}");
}
