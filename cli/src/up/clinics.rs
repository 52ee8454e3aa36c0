//! The clinics of a network on one machine, and where the records of each may be.

use std::str::FromStr;

use anyhow::{Result, bail};

use super::regions::Region;

/// The clinic that every network has.
pub(super) const DEMO: &str = "demo";
/// The clinic that drills write to, in a network where another region can stand in. It has no patients, and its
/// records are in the same group as the demo clinic's: what a drill measures there holds for people.
pub(crate) const CANARY: &str = "canary";
/// Their record group.
pub(super) const MAIN: &str = "main";

/// A clinic with a record group of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Clinic {
    /// As in URLs.
    pub name: String,
    /// Its record group.
    pub group: String,
    /// Which regions may hold the group, preferred ones first.
    pub regions: Vec<String>,
}

/// A clinic as the command line names it: `berlin=eu-central,us-east`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Placed {
    name: String,
    regions: Vec<String>,
}

impl FromStr for Placed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, regions) = text.split_once('=').ok_or("a clinic is given as NAME=REGION,REGION")?;
        let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_ours = [DEMO, CANARY, MAIN].contains(&name);
        if name.is_empty() || name.len() > 32 || !name.bytes().all(is_label) || is_ours {
            return Err(format!("a name is 1 to 32 of a-z and 0-9, and not {DEMO}, {CANARY} or {MAIN}"));
        }
        Ok(Self { name: name.to_owned(), regions: regions.split(',').map(str::to_owned).collect() })
    }
}

/// The demo clinic, everywhere, the canary's, and those that were asked for.
pub(super) fn clinics(placed: &[Placed], regions: &[Region]) -> Result<Vec<Clinic>> {
    let all = || regions.iter().map(|region| region.name.to_owned()).collect::<Vec<_>>();
    let in_main = |name: &str| Clinic { name: name.to_owned(), group: MAIN.to_owned(), regions: all() };
    let mut clinics = vec![in_main(DEMO)];
    if regions.len() > 1 {
        clinics.push(in_main(CANARY));
    }
    for Placed { name, regions: named } in placed {
        if regions.len() == 1 {
            bail!("--clinic needs several regions: with one, every record is there");
        }
        if let Some(unknown) = named.iter().find(|name| !all().contains(name)) {
            bail!("--clinic {name}: no region `{unknown}`; there are {}", all().join(", "));
        }
        if clinics.iter().any(|clinic| clinic.name == *name) {
            bail!("--clinic {name}: given twice");
        }
        clinics.push(Clinic { name: name.clone(), group: name.clone(), regions: named.clone() });
    }
    Ok(clinics)
}

#[cfg(test)]
mod tests {
    use super::super::regions::regions;
    use super::*;

    #[test]
    fn a_clinic_is_where_it_was_placed_and_nowhere_else() {
        let berlin: Placed = "berlin=eu-central,us-east".parse().unwrap();
        let all = clinics(std::slice::from_ref(&berlin), &regions(3)).unwrap();
        let [demo, canary, placed] = all.as_slice() else { panic!("{all:?}") };
        for clinic in [demo, canary] {
            assert_eq!((clinic.group.as_str(), clinic.regions.len()), ("main", 3));
        }
        assert_eq!(
            (placed.group.as_str(), placed.regions.join(" ")),
            ("berlin", "eu-central us-east".to_owned())
        );
        assert_eq!(clinics(&[], &regions(1)).unwrap().len(), 1, "nothing stands in for one region");
        assert!(clinics(std::slice::from_ref(&berlin), &regions(1)).is_err());
        assert!(clinics(&[berlin.clone(), berlin], &regions(3)).is_err());
        assert!(clinics(&["berlin=mars".parse().unwrap()], &regions(3)).is_err());
        for bad in ["berlin", "demo=us-east", "canary=us-east", "main=us-east", "a/b=us-east", "=us-east"] {
            assert!(bad.parse::<Placed>().is_err(), "{bad}");
        }
    }
}
