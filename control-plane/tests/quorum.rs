//! Several members as processes: they join, lose each other, lose their disks, and go on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use locum_cluster::{Load, NodeRecord, NodeState};
use locum_identity::Role;
use support::{Control, LONG, Node, command};
use tokio::time::{Instant, sleep};

/// `control-1` and two that joined it, all of whom vote.
async fn three() -> Vec<Control> {
    let mut members = vec![Control::start().await];
    for name in ["control-2", "control-3"] {
        let joined = join(&members[0], name).await;
        members.push(joined);
    }
    for member in &members {
        until(member, "locum_quorum_members{kind=\"voter\"} 3").await;
    }
    members
}

async fn join(first: &Control, name: &str) -> Control {
    let made = member(first, &["add", name, "--region", "us-west", "--yes"]);
    let token = made.1.lines().last().unwrap_or_default().to_owned();
    assert!(made.0, "{}", made.1);
    Control::join(first, name, &token).await
}

/// `locum-control member …` at a member; whether it succeeded, and what it said.
fn member(at: &Control, arguments: &[&str]) -> (bool, String) {
    let asked = command(&at.path("control.toml")).arg("member").args(arguments).output().unwrap();
    let said = [asked.stdout, asked.stderr].concat();
    (asked.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Until `member list` says so: a leader that is new has not heard from all yet.
async fn listed(at: &Control, words: &str) {
    let begun = Instant::now();
    loop {
        let (_, said) = member(at, &["list"]);
        if said.contains(words) {
            return;
        }
        assert!(begun.elapsed() < LONG, "{said}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn until(control: &Control, line: &str) {
    let begun = Instant::now();
    while !control.get("/metrics").1.contains(line) {
        assert!(begun.elapsed() < LONG, "{line} in {}\n{}", control.get("/metrics").1, control.log());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Which of the members that run leads; waits until exactly one does.
async fn leader(members: &[Control]) -> usize {
    let begun = Instant::now();
    loop {
        let leads =
            |control: &&Control| control.runs() && control.get("/metrics").1.contains("locum_quorum_leads 1");
        let leading: Vec<usize> = (0..members.len()).filter(|at| leads(&&members[*at])).collect();
        if let [leader] = leading[..] {
            return leader;
        }
        assert!(begun.elapsed() < LONG, "{leading:?} lead");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A node that knows of all members, and says something new until everybody agrees on it.
struct Witness {
    node: Node,
    said: u32,
}

impl Witness {
    async fn start(members: &[Control]) -> Self {
        let token = members[0].token(Role::Media, "media-1");
        let mut config = members[0].node(Role::Media, "media-1", Some(&token));
        config.control = members.iter().map(Control::mesh).collect();
        Self { node: Node::start(config).await.unwrap(), said: 0 }
    }

    /// How long it takes until a change of the record is agreed on and has come back.
    async fn change(&mut self) -> Duration {
        let begun = Instant::now();
        self.said = (self.said + 50) % 100;
        let load = Load { sessions: self.said, capacity: 100, cpu_permille: 0 };
        self.node.agent.set_load(load);
        let mut list = self.node.agent.list();
        let told = list.wait_for(|view| view.list.nodes.iter().any(|node| node.load == load));
        tokio::time::timeout(LONG, told).await.unwrap().unwrap();
        begun.elapsed()
    }
}

#[tokio::test]
async fn any_member_of_three_may_die_and_the_others_go_on() {
    let mut members = three().await;
    let mut witness = Witness::start(&members).await;
    for _ in 0..3 {
        witness.change().await;
        let leads = leader(&members).await;
        let version = witness.node.list().list.version;
        members[leads].kill();
        let took = witness.change().await;
        println!("the leader is killed: next change after {} ms", took.as_millis());
        assert!(witness.node.list().list.version > version, "versions only grow");
        members[leads].run().await;
        until(&members[leads], "locum_quorum_has_leader 1").await;
    }
    let mut list = witness.node.agent.list();
    let all_up = list.wait_for(|view| {
        let up = |node: &&NodeRecord| node.role == Role::Control && node.state == NodeState::Up;
        view.list.nodes.iter().filter(up).count() == 3
    });
    let all_up = tokio::time::timeout(LONG, all_up).await;
    assert!(matches!(all_up, Ok(Ok(_))), "nodes know the members");
}

#[tokio::test]
async fn a_leader_that_stands_still_is_replaced_and_follows_when_it_goes_on() {
    let members = three().await;
    let mut witness = Witness::start(&members).await;
    let leads = leader(&members).await;
    members[leads].signal("-STOP");
    witness.change().await;
    members[leads].signal("-CONT");
    let begun = Instant::now();
    loop {
        let next = leader(&members).await;
        if next != leads {
            break;
        }
        assert!(begun.elapsed() < LONG, "it still takes itself for the leader");
    }
    witness.change().await;
}

#[tokio::test]
async fn one_of_three_agrees_on_nothing_and_two_do_again() {
    let mut members = three().await;
    let mut witness = Witness::start(&members).await;
    witness.change().await;
    let (first, second) = (0, 1);
    members[first].kill();
    members[second].kill();
    let version = witness.node.list().list.version;
    witness.node.agent.set_load(Load { sessions: 77, capacity: 100, cpu_permille: 0 });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        assert_eq!(witness.node.list().list.version, version, "one of three decides");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(members[2].get("/readyz").0.contains("503"), "nobody leads, so it is not ready");
    members[second].run().await;
    witness.change().await;
    members[first].run().await;
    until(&members[first], "locum_quorum_has_leader 1").await;
    witness.change().await;
}

#[tokio::test]
async fn a_member_that_was_removed_counts_for_nothing_and_another_takes_its_place() {
    let mut members = three().await;
    listed(&members[1], "3 of 3 voters answer: 1 more may be lost").await;
    let (refused, said) = member(&members[0], &["add", "control-3", "--region", "us-west"]);
    assert!(!refused && said.contains("remove it first"), "{said}");

    members[2].kill();
    std::fs::remove_dir_all(members[2].path("control-3")).unwrap();
    let (planned, said) = member(&members[0], &["remove", "control-3"]);
    assert!(
        planned && said.contains("nothing was done") && said.contains("of 3 1 may be lost, of 2 0"),
        "{said}"
    );
    let (removed, said) = member(&members[0], &["remove", "control-3", "--yes"]);
    assert!(removed, "{said}");
    // When it says so, it is so.
    let (_, said) = member(&members[1], &["list"]);
    assert!(!said.contains("control-3") && said.contains("of 2 voters answer"), "{said}");

    let again = join(&members[0], "control-3").await;
    until(&again, "locum_quorum_members{kind=\"voter\"} 3").await;
    let (_, said) = member(&again, &["list"]);
    assert!(said.contains("number 4"), "a disk of its own has a number of its own: {said}");
    members[2] = again;
    let mut witness = Witness::start(&members).await;
    let leads = leader(&members).await;
    members[leads].kill();
    witness.change().await;
}

#[tokio::test]
async fn the_leader_itself_may_be_removed() {
    let members = three().await;
    let leads = leader(&members).await;
    let other = (leads + 1) % 3;
    let name = format!("control-{}", leads + 1);
    let (removed, said) = member(&members[other], &["remove", &name, "--yes"]);
    assert!(removed && said.contains("it leads"), "{said}");
    let rest: Vec<Control> =
        members.into_iter().enumerate().filter(|(at, _)| *at != leads).map(|(_, member)| member).collect();
    Witness::start(&rest).await.change().await;
}

/// With the certificate that it still has, and the disk it always had.
#[tokio::test]
async fn a_member_that_was_removed_while_it_ran_is_told_and_ends() {
    let mut members = three().await;
    let leads = leader(&members).await;
    let removed = (leads + 1) % 3;
    let name = format!("control-{}", removed + 1);
    let (done, said) = member(&members[leads], &["remove", &name, "--yes"]);
    assert!(done, "{said}");
    assert_eq!(members[removed].ended().await, Some(1));
    assert!(members[removed].log().contains("this one was removed"), "{}", members[removed].log());
    let rest = members.into_iter().enumerate().filter(|(at, _)| *at != removed);
    let rest: Vec<Control> = rest.map(|(_, member)| member).collect();
    Witness::start(&rest).await.change().await;
}

#[tokio::test]
async fn members_whose_groups_differ_are_named() {
    let mut members = three().await;
    let leads = leader(&members).await;
    let other = (leads + 1) % 3;
    members[other].kill();
    members[other].declare("[groups.berlin]\nregions = [\"eu-central\"]\n");
    members[other].run().await;
    let name = format!("control-{}", other + 1);
    let told = |said: &str| {
        let line = said.lines().find(|line| line.starts_with(&name)).unwrap_or_default();
        line.contains("its [groups] are not the leader's")
    };
    let begun = Instant::now();
    loop {
        let (_, said) = member(&members[leads], &["list"]);
        if told(&said) {
            break;
        }
        assert!(begun.elapsed() < LONG, "{said}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// What somebody does to a member's folder.
type Damage = fn(&Path);

#[tokio::test]
async fn a_member_with_a_damaged_or_missing_log_does_not_start_and_says_what_to_do() {
    let mut members = three().await;
    let mut witness = Witness::start(&members).await;
    witness.change().await;
    members[2].kill();
    let dir = members[2].path("control-3/quorum");
    let damages: [(&str, Damage); 4] = [
        ("cut short", |dir| {
            let log = OpenOptions::new().write(true).open(dir.join("log")).unwrap();
            let length = log.metadata().unwrap().len();
            log.set_len(length - 20).unwrap();
        }),
        ("flipped", |dir| {
            let log = OpenOptions::new().read(true).write(true).open(dir.join("log")).unwrap();
            let mut byte = [0];
            log.read_exact_at(&mut byte, 1700).unwrap();
            log.write_all_at(&[byte[0] ^ 1], 1700).unwrap();
        }),
        ("log gone", |dir| std::fs::remove_file(dir.join("log")).unwrap()),
        ("vote gone", |dir| std::fs::remove_file(dir.join("vote")).unwrap()),
    ];
    for (how, damage) in damages {
        let kept = members[2].path("kept");
        copy(&dir, &kept);
        damage(&dir);
        let refused = command(&members[2].path("control.toml")).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{how}: {said}");
        assert!(said.contains("locum member remove control-3"), "{how}: {said}");
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::rename(&kept, &dir).unwrap();
        witness.change().await;
    }
    members[2].run().await;
    until(&members[2], "locum_quorum_has_leader 1").await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What a release that knew one member left behind.
#[tokio::test]
async fn the_record_of_a_single_member_is_taken_over() {
    let mut control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let config = control.node(Role::Media, "media-1", Some(&token));
    drop(Node::start(config.clone()).await.unwrap());
    control.kill();
    // As it was: keys, and one file.
    std::fs::remove_dir_all(control.path("control-1/quorum")).unwrap();
    let former = r#"{"format":2,"record":{"members":{"media-1":{"role":"media","region":"eu-central"}},"spent":{},
        "forgotten_until":0,"list":{"version":41,"issuedAtMs":1,"nodes":[]},"groups":{}}}"#;
    locum_identity::private_file::write(&control.path("control-1/membership.json"), former.as_bytes())
        .unwrap();
    control.run().await;
    let node = Node::start(config.clone()).await.unwrap();
    assert!(node.list().list.version > 41, "versions go on: {}", node.list().list.version);
    drop(node);
    assert!(!control.path("control-1/membership.json").exists());
    let version = Node::start(config.clone()).await.unwrap().list().list.version;
    control.kill();
    control.run().await;
    assert!(Node::start(config).await.unwrap().list().list.version >= version);
}

#[tokio::test]
async fn nobody_but_a_member_asks_as_one() {
    let members = three().await;
    let witness = Witness::start(&members).await;
    let peer =
        locum_mesh::Peer { address: members[0].mesh(), name: locum_mesh::PeerName::Role(Role::Control) };
    for words in [r#"{"from":2,"address":"127.0.0.1:1","request":"keys"}"#, r#"{"from":2}"#, "1"] {
        let question = format!(r#"{{"member":{words}}}"#);
        let asked = witness.node.agent.mesh().client().request(&peer, question.as_bytes(), LONG).await;
        let error = asked.unwrap_err();
        let locum_mesh::RequestError::Refused { refusal, .. } = &error else { panic!("{error:?}") };
        assert_eq!(refusal.code, locum_mesh::RefusalCode::Invalid, "{error:?}");
    }
}
