//! The two files of prefixes, a line each: the operator's overrides, `203.0.113.0/24 us-west us-east`, and
//! measured round trips, `203.0.113.0/24 us-west=31 eu-central=140` (milliseconds). `#` begins a comment.

use ipnet::IpNet;
use locum_identity::RegionId;

/// Lines of one file.
const MAX_LINES: usize = 1_000_000;

/// A file that cannot be used.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum PrefixError {
    #[error("line {line} is no prefix with regions")]
    Line { line: usize },
    #[error("more than {MAX_LINES} lines")]
    TooLong,
}

/// Prefixes with the regions to prefer, best first.
pub(crate) type Prefixes = Vec<(IpNet, Vec<RegionId>)>;

/// Reads overrides.
pub(crate) fn overrides(text: &str) -> Result<Prefixes, PrefixError> {
    read(text, |words| words.map(|word| word.parse().ok()).collect())
}

/// Reads round trips; the shortest comes first, of equal ones the first in the line.
pub(crate) fn round_trips(text: &str) -> Result<Prefixes, PrefixError> {
    read(text, |words| {
        let measured = |word: &str| {
            let (region, milliseconds) = word.split_once('=')?;
            Some((milliseconds.parse::<u32>().ok()?, region.parse::<RegionId>().ok()?))
        };
        let mut regions = words.map(measured).collect::<Option<Vec<_>>>()?;
        regions.sort_by_key(|(milliseconds, _)| *milliseconds);
        Some(regions.into_iter().map(|(_, region)| region).collect())
    })
}

fn read<'a>(
    text: &'a str,
    regions: impl Fn(&mut dyn Iterator<Item = &'a str>) -> Option<Vec<RegionId>>,
) -> Result<Prefixes, PrefixError> {
    let mut prefixes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if index >= MAX_LINES {
            return Err(PrefixError::TooLong);
        }
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(prefix) = words.next() else { continue };
        let mut read = || {
            let prefix: IpNet = prefix.parse().ok()?;
            // A prefix with bits beyond its length is a typing error more often than not.
            (prefix == prefix.trunc()).then_some(())?;
            let regions = regions(&mut words)?;
            (!regions.is_empty()).then_some((prefix, regions))
        };
        prefixes.push(read().ok_or(PrefixError::Line { line: index + 1 })?);
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(prefixes: Prefixes) -> Vec<String> {
        let line = |(net, regions): (IpNet, Vec<RegionId>)| {
            regions.iter().fold(net.to_string(), |line, region| format!("{line} {region}"))
        };
        prefixes.into_iter().map(line).collect()
    }

    #[test]
    fn both_files_are_read() {
        let text = "# ours\n203.0.113.0/24 us-west us-east # branch office\n\n2001:db8::/32\teu-central\n";
        assert_eq!(
            shown(overrides(text).unwrap()),
            ["203.0.113.0/24 us-west us-east", "2001:db8::/32 eu-central"]
        );
        let text = "203.0.113.0/24 us-east=80 us-west=31 eu-central=80\n";
        assert_eq!(shown(round_trips(text).unwrap()), ["203.0.113.0/24 us-west us-east eu-central"]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for wrong in ["203.0.113.1/24 a", "203.0.113.0/24", "203.0.113.0/33 a", "here a", "10.0.0.0/8 A b"] {
            assert_eq!(overrides(&format!("10.0.0.0/8 a\n{wrong}\n")), Err(PrefixError::Line { line: 2 }));
        }
        for wrong in ["10.0.0.0/8 a", "10.0.0.0/8 a=-1", "10.0.0.0/8 =1"] {
            assert_eq!(round_trips(wrong), Err(PrefixError::Line { line: 1 }), "{wrong}");
        }
    }
}
