//! When a contract runs: once every host of the group knows it, and that has been so for long enough for people to
//! have gone back to the release before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use locum_identity::NodeId;

use super::{Ledger, MigrationId, Schema, Standing};

/// What a host said longer ago than this may not be so any more.
const FRESH: Duration = Duration::from_secs(6);

/// Which contracts the other hosts of a group know, as they said last.
#[derive(Debug, Default)]
pub(crate) struct Knowledge(BTreeMap<NodeId, (Instant, Vec<MigrationId>)>);

/// What to do about contracts now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Nothing: there are none, or it is not time yet.
    Nothing,
    /// These hosts do not know the contract, or say nothing.
    WaitFor(MigrationId, Vec<NodeId>),
    /// From now on every host knows it.
    Remember(MigrationId),
    /// Not every host does, or it is none of this release.
    Forget(String, u32),
    /// It is time.
    Apply(MigrationId),
}

impl Knowledge {
    /// What a host says it knows.
    pub(crate) fn heard(&mut self, from: NodeId, knows: Vec<MigrationId>, now: Instant) {
        self.0.insert(from, (now, knows));
    }

    /// The next step at the group's primary. `others` are the hosts that hold the group, without this one.
    pub(crate) fn step(
        &self,
        (schema, standing, ledger): (&Schema, &Standing<'_>, &Ledger),
        others: &[NodeId],
        (now, now_ms): (Instant, i64),
        after: Duration,
    ) -> Step {
        let foreign = ledger.waiting().find(|(series, version)| !schema.knows_contract(series, *version));
        if let Some((series, version)) = foreign {
            return Step::Forget(series.to_owned(), version);
        }
        // In order, and only once nothing is missing that may build on what it takes away.
        let Some(next) = standing.contracts.first().filter(|_| standing.fits()) else { return Step::Nothing };
        let id = next.id();
        let fresh =
            |host: &NodeId| self.0.get(host).filter(|(at, _)| now.saturating_duration_since(*at) < FRESH);
        let knows = |host: &NodeId| fresh(host).is_some_and(|(_, known)| known.contains(id));
        let lacking: Vec<NodeId> = others.iter().filter(|host| !knows(host)).cloned().collect();
        let since = ledger.known_since_ms(id);
        if lacking.is_empty() {
            let waits_until = |since: i64| since.saturating_add_unsigned(after.as_millis() as u64);
            return match since {
                None => Step::Remember(id.clone()),
                Some(since) if now_ms >= waits_until(since) => Step::Apply(id.clone()),
                Some(_) => Step::Nothing,
            };
        }
        // A host that is silent has not gone back to an older release by that.
        if since.is_some() && lacking.iter().any(|host| fresh(host).is_some()) {
            return Step::Forget(id.series.as_str().to_owned(), id.version);
        }
        Step::WaitFor(id.clone(), lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Migration, Phase, Series};
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    struct Group {
        schema: Schema,
        ledger: Ledger,
        knowledge: Knowledge,
        now: Instant,
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    impl Group {
        /// A database that has been through all but the last file, a contract.
        fn new() -> Self {
            let file = |version, phase, sql: &str| {
                Migration::new(Series::Functions, version, "test", phase, sql.to_owned())
            };
            let files = [
                file(1, Phase::Expand, "CREATE TABLE a (x, y)"),
                file(2, Phase::Contract, "ALTER TABLE a DROP COLUMN y"),
            ];
            let schema = Schema::new(&files).unwrap();
            let mut ledger = Ledger::default();
            for migration in schema.compare(&Ledger::default()).unwrap().missing {
                ledger.note_for_test(migration.id(), None);
            }
            Self { schema, ledger, knowledge: Knowledge::default(), now: Instant::now() }
        }

        fn contract(&self) -> MigrationId {
            self.schema.compare(&self.ledger).unwrap().contracts[0].id().clone()
        }

        fn step(&self, now_ms: i64) -> Step {
            let standing = self.schema.compare(&self.ledger).unwrap();
            let of = (&self.schema, &standing, &self.ledger);
            self.knowledge.step(of, &[node("b"), node("c")], (self.now, now_ms), DAY)
        }

        fn says(&mut self, host: &str, knows: Vec<MigrationId>) {
            self.knowledge.heard(node(host), knows, self.now);
        }
    }

    #[test]
    fn it_runs_a_day_after_every_host_knows_it() {
        let mut group = Group::new();
        let contract = group.contract();
        assert_eq!(group.step(0), Step::WaitFor(contract.clone(), vec![node("b"), node("c")]));
        group.says("b", vec![contract.clone()]);
        group.says("c", Vec::new());
        assert_eq!(group.step(0), Step::WaitFor(contract.clone(), vec![node("c")]));
        group.says("c", vec![contract.clone()]);
        assert_eq!(group.step(7), Step::Remember(contract.clone()));
        group.ledger.note_for_test(&contract, Some(7));
        assert_eq!(group.step(7 + 86_399_999), Step::Nothing);
        assert_eq!(group.step(7 + 86_400_000), Step::Apply(contract));
    }

    #[test]
    fn a_host_that_goes_back_begins_the_wait_anew_and_one_that_is_away_only_holds_it_up() {
        let mut group = Group::new();
        let contract = group.contract();
        group.ledger.note_for_test(&contract, Some(0));
        let long_after = 10 * 86_400_000;
        group.says("b", vec![contract.clone()]);
        assert_eq!(group.step(long_after), Step::WaitFor(contract.clone(), vec![node("c")]));
        group.says("c", vec![contract.clone()]);
        assert_eq!(group.step(long_after), Step::Apply(contract.clone()));
        group.now += FRESH;
        assert_eq!(group.step(long_after), Step::WaitFor(contract.clone(), vec![node("b"), node("c")]));
        group.says("b", vec![contract.clone()]);
        let another = MigrationId { checksum: "other".to_owned(), ..contract };
        group.says("c", vec![another]);
        assert_eq!(group.step(long_after), Step::Forget("functions".to_owned(), 2));
    }

    #[test]
    fn a_primary_of_an_older_release_forgets_what_it_does_not_know() {
        let mut group = Group::new();
        let contract = group.contract();
        group.ledger.note_for_test(&contract, Some(0));
        group.schema = Schema::new(&[]).unwrap();
        assert_eq!(group.step(1), Step::Forget("functions".to_owned(), 2));
    }
}
