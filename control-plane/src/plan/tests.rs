use std::collections::BTreeMap;

use locum_cluster::{Subject, Wish};
use locum_identity::{NodeId, RegionId};
use locum_replication::{Epoch, VoterStatus};

use super::*;
use crate::health::{Evidence, Verdict};

const REGIONS: [&str; 3] = ["us-west", "us-east", "eu-central"];

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

/// Three regions with an edge host and a media node each, and one group that the first leads.
struct World {
    operations: Operations,
    places: Vec<Place>,
    group: GroupSight,
    records: BTreeMap<NodeId, bool>,
    patience: Patience,
    now: Duration,
}

impl World {
    fn new() -> Self {
        let place = |role: Role, name: &str| Place {
            node: node(&format!("{role}-{name}")),
            role,
            region: region(name),
        };
        let mut places: Vec<_> =
            REGIONS.iter().flat_map(|name| [place(Role::Edge, name), place(Role::Media, name)]).collect();
        places.sort_by(|a, b| a.node.cmp(&b.node));
        let voters = REGIONS.map(|name| VoterStatus {
            node: node(&format!("edge-{name}")),
            region: region(name),
            is_current: true,
            behind: 0,
        });
        let group = GroupSight {
            group: "main".parse().unwrap(),
            epoch: Epoch(1),
            is_served: true,
            is_moving: false,
            leads: Some(node("edge-us-west")),
            voters: voters.into(),
        };
        let (operations, records, patience) = Default::default();
        Self { operations, places, group, records, patience, now: Duration::ZERO }
    }

    fn plan_with(&self, verdicts: &[Verdict]) -> Vec<Step> {
        let sight = Sight {
            places: &self.places,
            verdicts,
            groups: std::slice::from_ref(&self.group),
            records: &self.records,
            patience: &self.patience,
        };
        plan(&self.operations, &sight, self.now)
    }

    /// Plans and applies; what was done.
    fn go_on(&mut self, verdicts: &[Verdict]) -> Vec<Action> {
        let steps = self.plan_with(verdicts);
        for step in &steps {
            self.apply(step);
        }
        assert_eq!(self.plan_with(&[]).len(), usize::from(steps.iter().any(moves)), "it settles");
        steps.into_iter().map(|step| step.action).collect()
    }

    fn apply(&mut self, step: &Step) {
        let role_of = |node: &NodeId| self.places.iter().find(|place| place.node == *node).map(|p| p.role);
        let by = Author::Member(node("control-1"));
        self.operations = self.operations.apply(step, by, 0, role_of).unwrap();
    }

    fn wish(&mut self, wish: Wish) {
        let step = self.operations.wish(wish).unwrap();
        self.apply(&step);
    }

    fn voter(&mut self, name: &str) -> &mut VoterStatus {
        self.group.voters.iter_mut().find(|voter| voter.region.as_str() == name).unwrap()
    }
}

fn moves(step: &Step) -> bool {
    matches!(step.action, Action::MovePrimary { .. })
}

fn verdict(name: &str, change: Change) -> Verdict {
    let after = Duration::from_secs(3);
    Verdict { node: node(name), change, evidence: Evidence::default(), after }
}

fn drain_west() -> Wish {
    Wish::Drain(Subject::Region(region("us-west")))
}

fn move_to(name: &str, because: Because) -> Action {
    Action::MovePrimary { group: "main".parse().unwrap(), epoch: Epoch(1), to: node(name), because }
}

fn tell(name: &str, drain: bool) -> Action {
    Action::Tell { node: node(name), drain }
}

#[test]
fn nothing_is_done_when_all_is_well() {
    assert_eq!(World::new().go_on(&[]), []);
}

#[test]
fn a_region_goes_with_its_last_node_and_comes_with_its_first() {
    let mut world = World::new();
    world.group.is_served = false;
    assert_eq!(world.go_on(&[verdict("edge-us-west", Change::Lost)]).len(), 1);
    let done = world.go_on(&[verdict("media-us-west", Change::Lost)]);
    let down = |down| Action::Region { region: region("us-west"), down };
    assert_eq!(done[1..], [down(true)]);
    assert!(world.operations.down.contains(&region("us-west")));
    let done = world.go_on(&[verdict("media-us-west", Change::Back)]);
    assert_eq!(done[1..], [down(false), tell("media-us-west", false)]);
}

#[test]
fn an_edge_host_comes_back_with_its_records() {
    let mut world = World::new();
    world.group.leads = Some(node("edge-us-east"));
    world.go_on(&[verdict("edge-us-west", Change::Lost)]);
    let back = [verdict("edge-us-west", Change::Back)];
    world.voter("us-west").is_current = false;
    assert_eq!(world.go_on(&back), [], "its copy is of an older epoch");
    world.voter("us-west").is_current = true;
    world.records.insert(node("edge-us-west"), false);
    assert_eq!(world.go_on(&back), [], "it does not show its copy");
    world.group.is_served = false;
    assert_eq!(world.plan_with(&back).len(), 1, "a group that nobody leads is waited for by nobody");
    world.group.is_served = true;
    world.records.insert(node("edge-us-west"), true);
    assert_eq!(world.go_on(&back).len(), 1);
}

#[test]
fn a_drained_region_is_told_so_and_its_primary_moves() {
    let mut world = World::new();
    world.wish(drain_west());
    let expected =
        [tell("edge-us-west", true), tell("media-us-west", true), move_to("edge-us-east", Because::Drained)];
    assert_eq!(world.go_on(&[]), expected);
    // It did not move yet: again, but later each time.
    world.patience.tried(&world.group.group, world.now);
    assert_eq!(world.plan_with(&[]), []);
    world.now = Duration::from_secs(10);
    assert_eq!(world.plan_with(&[]).len(), 1);
    (world.group.leads, world.group.epoch) = (Some(node("edge-us-east")), Epoch(2));
    assert_eq!(world.plan_with(&[]), []);
}

#[test]
fn a_primary_moves_only_to_who_can_lead_and_is_welcome() {
    let mut world = World::new();
    world.wish(drain_west());
    world.go_on(&[]);
    let target = |world: &World| world.plan_with(&[]).into_iter().next().map(|step| step.action);
    world.voter("us-east").behind = FAR_BEHIND_FRAMES + 1;
    assert_eq!(target(&world), Some(move_to("edge-eu-central", Because::Drained)));
    world.voter("eu-central").is_current = false;
    assert_eq!(target(&world), Some(move_to("edge-us-east", Because::Drained)), "behind is better than none");
    world.records.insert(node("edge-us-east"), false);
    assert_eq!(target(&world), None);
    world.records.clear();
    world.wish(Wish::Drain(Subject::Node(node("edge-us-east"))));
    world.go_on(&[]);
    assert_eq!(target(&world), None, "nobody is welcome: it stays");
    world.wish(Wish::Undrain(Subject::Node(node("edge-us-east"))));
    world.group.is_moving = true;
    assert!(!world.plan_with(&[]).iter().any(moves), "somebody moves it already");
    world.group.is_moving = false;
    world.group.is_served = false;
    assert!(!world.plan_with(&[]).iter().any(moves), "that is a failover, and the registry's");
}

#[test]
fn a_primary_that_nobody_outside_reaches_moves() {
    let mut world = World::new();
    let done = world.go_on(&[verdict("edge-us-west", Change::Lost)]);
    assert_eq!(done[1..], [move_to("edge-us-east", Because::Lost)]);
}

#[test]
fn who_is_taken_back_into_service_catches_up_and_answers_canaries_first() {
    let mut world = World::new();
    world.group.leads = Some(node("edge-us-east"));
    world.wish(drain_west());
    world.go_on(&[]);
    world.voter("us-west").is_current = false;
    world.wish(Wish::Undrain(Subject::Region(region("us-west"))));
    assert_eq!(world.go_on(&[]), [tell("media-us-west", false)], "a media node holds nothing");
    world.voter("us-west").is_current = true;
    world.records.insert(node("edge-us-west"), false);
    assert_eq!(world.go_on(&[]), []);
    world.records.insert(node("edge-us-west"), true);
    assert_eq!(world.go_on(&[]), [tell("edge-us-west", false)], "and nothing moves back by itself");
}

#[test]
fn a_pin_brings_the_primary_back_once_its_region_can_lead() {
    let mut world = World::new();
    let pin = |name: &str| Wish::Pin { group: "main".parse().unwrap(), region: region(name) };
    world.wish(pin("eu-central"));
    world.voter("eu-central").is_current = false;
    assert_eq!(world.plan_with(&[]), []);
    world.voter("eu-central").is_current = true;
    world.voter("eu-central").behind = FAR_BEHIND_FRAMES + 1;
    assert_eq!(world.plan_with(&[])[0].action, move_to("edge-eu-central", Because::Pinned));
    world.wish(Wish::Drain(Subject::Region(region("eu-central"))));
    world.go_on(&[]);
    assert_eq!(world.plan_with(&[]), [], "a drain outweighs a pin");
}

#[test]
fn the_same_knowledge_gives_the_same_plan() {
    let mut world = World::new();
    world.wish(drain_west());
    let verdicts = [verdict("media-us-east", Change::Lost), verdict("edge-us-east", Change::Lost)];
    let plan = world.plan_with(&verdicts);
    assert_eq!(plan, world.plan_with(&verdicts));
    let generations: Vec<u64> = plan.iter().map(|step| step.generation).collect();
    assert_eq!(generations, (2..2 + plan.len() as u64).collect::<Vec<_>>());
}
