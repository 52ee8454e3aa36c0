//! A position as browsers carry it: `<epoch>.<frame>.<mac>`. The code is keyed with the group's own key, which
//! exactly the hosts have that serve the group.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use locum_replication::{Epoch, FrameNo, GroupId, Position};
use ring::hmac;
use tokio::time::timeout_at;

use super::group::{ReplicatedGroup, Serving};
use crate::store::Failure;
use crate::store::sqlite::DatabaseKey;

/// What a copy is to a position.
enum Reach {
    /// It holds it.
    There,
    /// Not yet, or it cannot be told yet.
    NotYet,
    /// It never will.
    Lost,
}

/// For a browser.
pub(super) fn seal(key: &DatabaseKey, group: &GroupId, position: Position) -> String {
    let mac = BASE64.encode(hmac::sign(&mac_key(key), &words(group, position)));
    format!("{}.{}.{mac}", position.epoch, position.frame)
}

/// `None` for what no host of this group has sealed.
pub(super) fn open(key: &DatabaseKey, group: &GroupId, token: &str) -> Option<Position> {
    let mut parts = token.splitn(3, '.');
    let epoch = parts.next()?.parse().ok()?;
    let frame = parts.next()?.parse().ok()?;
    let position = Position::new(Epoch(epoch), FrameNo(frame));
    let mac = BASE64.decode(parts.next()?).ok()?;
    hmac::verify(&mac_key(key), &words(group, position), &mac).ok()?;
    Some(position)
}

fn mac_key(key: &DatabaseKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes())
}

fn words(group: &GroupId, position: Position) -> Vec<u8> {
    format!("locum seen v1 {group} {position}").into_bytes()
}

/// Waits until this host's copy holds `position`.
pub(super) async fn catch_up(
    group: Arc<ReplicatedGroup>,
    position: Position,
    deadline: Instant,
) -> Result<(), Failure> {
    let mut serving = group.serving.subscribe();
    loop {
        let (reach, held) = {
            let now = serving.borrow_and_update();
            (reach(&now, position), now.copy.as_ref().map(|copy| copy.progress.held()))
        };
        match reach {
            Reach::There => return Ok(()),
            Reach::Lost => return Err(Failure::HistoryLost),
            Reach::NotYet => {}
        }
        let further = async {
            match held {
                Some(mut held) => held.changed().await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            tokio::select! {
                changed = serving.changed() => changed,
                further = further => further,
            }
        };
        // An error is a driver that has ended.
        if !matches!(timeout_at(deadline.into(), changed).await, Ok(Ok(()))) {
            return Err(Failure::NotSettled);
        }
    }
}

fn reach(serving: &Serving, position: Position) -> Reach {
    let known = serving.history.newest();
    if position.epoch > known {
        return Reach::NotYet;
    }
    if !serving.history.holds(position) {
        return Reach::Lost;
    }
    match &serving.copy {
        Some(copy) if copy.epoch > position.epoch => Reach::There,
        Some(copy) if copy.epoch == position.epoch => {
            let held = copy.progress.held().borrow().frame;
            if held >= Some(position.frame) { Reach::There } else { Reach::NotYet }
        }
        _ => Reach::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_group_has_sealed_is_believed() {
        let (key, group): (_, GroupId) = (DatabaseKey::from([7; 32]), "main".parse().unwrap());
        let position = Position::new(Epoch(3), FrameNo(14));
        let token = seal(&key, &group, position);
        assert_eq!(open(&key, &group, &token), Some(position));
        assert_eq!(open(&DatabaseKey::from([8; 32]), &group, &token), None);
        assert_eq!(open(&key, &"other".parse().unwrap(), &token), None);
        for forged in
            ["", "3", "3.14", "3.14.", "4.14.x", &token.replacen('3', "4", 1), &token[..token.len() - 2]]
        {
            assert_eq!(open(&key, &group, forged), None, "{forged}");
        }
    }
}
