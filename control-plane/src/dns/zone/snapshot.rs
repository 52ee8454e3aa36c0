//! One generation of the zone, ready to answer. Nothing in it changes; what is encoded and signed on the way is
//! kept, and there is only so much that can be: an answer for each name, type and class of clients.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use hickory_server::proto::ProtoError;
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::HINFO;
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::proto::serialize::binary::{BinEncodable as _, BinEncoder};

use super::content::{self, Content};
use super::sign::{NXNAME, Signers, denial};
use super::{Body, FIXED_TTL_S, NEGATIVE_TTL_S, Sections, Set, Settings};
use crate::dns::place::{Classes, Map};
use crate::dns::view::ZoneView;

/// A question that can be answered from a zone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The name in wire form, in small letters.
    pub(crate) name: &'a [u8],
    pub(crate) record_type: RecordType,
    /// The client wants signatures.
    pub(crate) dnssec: bool,
    /// … and knows compact denial (RFC 9824), so that it may be told that there is no such name.
    pub(crate) compact: bool,
}

/// What there is to say.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) code: ResponseCode,
    pub(crate) body: Option<BodyRef<'a>>,
    /// The prefix length, around the client's address, for which the answer is the same.
    pub(crate) scope: u8,
}

/// An answer's body: kept, or made for this question.
#[derive(Debug)]
pub(crate) enum BodyRef<'a> {
    Kept(&'a Body),
    Made(Body),
}

impl Deref for BodyRef<'_> {
    type Target = Body;
    fn deref(&self) -> &Body {
        match self {
            Self::Kept(body) => body,
            Self::Made(body) => body,
        }
    }
}

/// A body without and one with signatures; `None` when it could not be made.
#[derive(Debug, Default)]
struct Kept([OnceLock<Option<Body>>; 2]);

impl Kept {
    fn get(&self, dnssec: bool, make: impl FnOnce() -> Result<Body, ProtoError>) -> Option<BodyRef<'_>> {
        let kept = self.0[usize::from(dnssec)].get_or_init(|| make().ok());
        kept.as_ref().map(BodyRef::Kept)
    }
}

#[derive(Debug)]
struct Entry {
    record_type: RecordType,
    set: Set,
    kept: Kept,
}

/// A name with what stands there.
#[derive(Debug)]
struct Owner {
    name: Name,
    same: Vec<Entry>,
    chosen: Vec<Vec<Entry>>,
    nothing: Kept,
    any: Kept,
}

/// Which part of the zone answers a question.
enum Found<'a> {
    Set(&'a Owner, &'a Entry),
    /// Everything there is: one record that says that it is not told (RFC 8482).
    Any(&'a Owner),
    /// Signatures, or the record that denies, asked for by type.
    Signatures(&'a Owner),
    Denial(&'a Owner),
    /// The name is there, the type is not.
    Nothing(&'a Owner),
    NoName(Name),
}

/// See the module.
pub(crate) struct Snapshot {
    /// When it says something else although nothing changed; milliseconds since 1970.
    pub(crate) calm_at_ms: Option<i64>,
    /// A list was heard of. Until then it would say that names lead nowhere, and resolvers would remember that.
    is_known: bool,
    /// The zone's name in wire form.
    suffix: Vec<u8>,
    owners: HashMap<Box<[u8]>, Owner>,
    classes: Classes,
    signers: Option<Arc<Signers>>,
    soa: Vec<Record>,
    signed_soa: OnceLock<Vec<Record>>,
    servers: Vec<Box<[u8]>>,
}

impl Snapshot {
    /// The zone as it is now.
    pub(crate) fn new(
        settings: &Settings,
        view: &ZoneView,
        map: &Map,
        signers: Option<Arc<Signers>>,
        now_ms: i64,
    ) -> Self {
        let choices = content::choices(view, map.orders());
        let keys = signers.as_ref().map_or(&[][..], |signers| &signers.sets);
        let names = content::names(settings, view, &choices, keys, now_ms);
        let soa = names.get("").and_then(|apex| apex.same.first()).map(|set| set.0.clone());
        let owners = names.into_iter().map(|(labels, content)| {
            let name = name(&labels, &settings.origin);
            (wire_labels(&labels), Owner::new(name, content))
        });
        Self {
            calm_at_ms: content::calm_at(view, now_ms),
            is_known: view.generation > 0,
            suffix: wire(&settings.origin),
            owners: owners.collect(),
            classes: map.classes(&choices.class_of),
            signers,
            soa: soa.unwrap_or_default(),
            signed_soa: OnceLock::new(),
            servers: settings.name_servers.iter().map(|(label, _)| wire_labels(label)).collect(),
        }
    }

    /// Ranges of addresses that are told apart.
    pub(crate) fn ranges(&self) -> usize {
        self.classes.ranges()
    }

    /// The answer to `asked` for a client at `client`, encoded. One that must be made and signed for this
    /// question alone is made only if it is `affordable`; `None` if it is not.
    pub(crate) fn answer(
        &self,
        asked: Asked<'_>,
        client: IpAddr,
        now_s: u64,
        affordable: &mut impl FnMut() -> bool,
    ) -> Option<Answer<'_>> {
        let (found, scope) = match self.find(asked, client) {
            Ok(found) => found,
            Err(code) => return Some(Answer { code, body: None, scope: 0 }),
        };
        let dnssec = asked.dnssec && self.signers.is_some();
        let make = || Body::encode(found.name(), &self.sections(&found, dnssec, now_s)?);
        let body = match &found {
            Found::Set(_, entry) => entry.kept.get(dnssec, make),
            Found::Nothing(owner) => owner.nothing.get(dnssec, make),
            Found::Any(owner) => owner.any.get(dnssec, make),
            Found::Signatures(_) | Found::Denial(_) | Found::NoName(_) => {
                let signs = dnssec || !matches!(found, Found::NoName(_));
                if signs && !affordable() {
                    return None;
                }
                make().ok().map(BodyRef::Made)
            }
        };
        let code = if body.is_some() { self.code(&found, asked) } else { ResponseCode::ServFail };
        Some(Answer { code, body, scope })
    }

    /// The same, as records.
    pub(crate) fn records(
        &self,
        asked: Asked<'_>,
        client: IpAddr,
        now_s: u64,
    ) -> (ResponseCode, Sections, u8) {
        let (found, scope) = match self.find(asked, client) {
            Ok(found) => found,
            Err(code) => return (code, Sections::default(), 0),
        };
        let dnssec = asked.dnssec && self.signers.is_some();
        match self.sections(&found, dnssec, now_s) {
            Ok(sections) => (self.code(&found, asked), sections, scope),
            Err(_) => (ResponseCode::ServFail, Sections::default(), 0),
        }
    }

    fn find(&self, asked: Asked<'_>, client: IpAddr) -> Result<(Found<'_>, u8), ResponseCode> {
        let labels = below(asked.name, &self.suffix).ok_or(ResponseCode::Refused)?;
        match u16::from(asked.record_type) {
            // OPT, NXNAME, TKEY, TSIG are no types of data (RFC 9824 §3.5).
            41 | 128 | 249 | 250 => return Err(ResponseCode::FormErr),
            // Transfers: nobody needs them, everybody could read the network's plan.
            251 | 252 => return Err(ResponseCode::Refused),
            _ => {}
        }
        if !self.is_known {
            return Err(ResponseCode::ServFail);
        }
        let Some(owner) = self.owners.get(labels) else {
            return Ok((Found::NoName(name_of_wire(asked.name).ok_or(ResponseCode::FormErr)?), 0));
        };
        let signed = self.signers.is_some();
        let found = match asked.record_type {
            RecordType::ANY => Found::Any(owner),
            RecordType::RRSIG if signed => Found::Signatures(owner),
            RecordType::NSEC if signed => Found::Denial(owner),
            wanted => return Ok(self.find_set(owner, wanted, client)),
        };
        Ok((found, 0))
    }

    fn find_set<'a>(&self, owner: &'a Owner, wanted: RecordType, client: IpAddr) -> (Found<'a>, u8) {
        let is_wanted = |entry: &&Entry| entry.record_type == wanted;
        if let Some(entry) = owner.same.iter().find(is_wanted) {
            return (Found::Set(owner, entry), 0);
        }
        if !owner.chosen.first().is_some_and(|sets| sets.iter().any(|entry| entry.record_type == wanted)) {
            return (Found::Nothing(owner), 0);
        }
        let (class, scope) = self.classes.at(client);
        let entry = owner.chosen.get(usize::from(class)).and_then(|sets| sets.iter().find(is_wanted));
        (entry.map_or(Found::Nothing(owner), |entry| Found::Set(owner, entry)), scope)
    }

    /// A name that is not there is, to resolvers that verify, one without any type (RFC 9824).
    fn code(&self, found: &Found<'_>, asked: Asked<'_>) -> ResponseCode {
        let plain = self.signers.is_none() || !asked.dnssec || asked.compact;
        match found {
            Found::NoName(_) if plain => ResponseCode::NXDomain,
            _ => ResponseCode::NoError,
        }
    }

    fn sections(&self, found: &Found<'_>, dnssec: bool, now_s: u64) -> Result<Sections, ProtoError> {
        let mut sections = Sections::default();
        match found {
            Found::Set(owner, entry) => {
                sections.answers = self.with_signatures(&entry.set.0, dnssec, now_s)?;
                if entry.record_type == RecordType::NS && !owner.name.is_root() {
                    sections.additionals = self.glue(dnssec, now_s)?;
                }
            }
            Found::Any(owner) => {
                let data = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
                let minimal = [Record::from_rdata(owner.name.clone(), FIXED_TTL_S, data)];
                sections.answers = self.with_signatures(&minimal, dnssec, now_s)?;
            }
            Found::Signatures(owner) => {
                let any = owner.same.iter().chain(owner.chosen.iter().flatten()).next();
                if let (Some(signers), Some(entry)) = (&self.signers, any) {
                    sections.answers = signers.sign(&entry.set.0, now_s)?;
                } else {
                    sections.authorities = self.denied(owner, dnssec, now_s)?;
                }
            }
            Found::Denial(owner) => {
                sections.answers =
                    self.with_signatures(&[deny(&owner.name, owner.types())?], dnssec, now_s)?;
            }
            Found::Nothing(owner) => sections.authorities = self.denied(owner, dnssec, now_s)?,
            Found::NoName(name) => {
                sections.authorities = self.soa(dnssec, now_s)?;
                if dnssec {
                    let denial = [deny(name, vec![NXNAME])?];
                    sections.authorities.extend(self.with_signatures(&denial, true, now_s)?);
                }
            }
        }
        Ok(sections)
    }

    fn denied(&self, owner: &Owner, dnssec: bool, now_s: u64) -> Result<Vec<Record>, ProtoError> {
        let mut authorities = self.soa(dnssec, now_s)?;
        if dnssec {
            let denial = [deny(&owner.name, owner.types())?];
            authorities.extend(self.with_signatures(&denial, true, now_s)?);
        }
        Ok(authorities)
    }

    /// The SOA record as it stands in answers that deny: it may be kept as long as they (RFC 2308 §3).
    fn soa(&self, dnssec: bool, now_s: u64) -> Result<Vec<Record>, ProtoError> {
        let brief = |records: Vec<Record>| -> Vec<Record> {
            let brief = |mut record: Record| {
                record.ttl = NEGATIVE_TTL_S;
                record
            };
            records.into_iter().map(brief).collect()
        };
        if !dnssec {
            return Ok(brief(self.soa.clone()));
        }
        if let Some(kept) = self.signed_soa.get() {
            return Ok(kept.clone());
        }
        let signed = brief(self.with_signatures(&self.soa, true, now_s)?);
        Ok(self.signed_soa.get_or_init(|| signed).clone())
    }

    fn glue(&self, dnssec: bool, now_s: u64) -> Result<Vec<Record>, ProtoError> {
        let entries =
            self.servers.iter().filter_map(|server| self.owners.get(server)).flat_map(|owner| &owner.same);
        let mut glue = Vec::new();
        for entry in entries {
            glue.extend(self.with_signatures(&entry.set.0, dnssec, now_s)?);
        }
        Ok(glue)
    }

    fn with_signatures(&self, set: &[Record], dnssec: bool, now_s: u64) -> Result<Vec<Record>, ProtoError> {
        let mut records = set.to_vec();
        if let (true, Some(signers)) = (dnssec, &self.signers) {
            records.extend(signers.sign(set, now_s)?);
        }
        Ok(records)
    }
}

impl Found<'_> {
    fn name(&self) -> &Name {
        match self {
            Self::Set(owner, _)
            | Self::Any(owner)
            | Self::Signatures(owner)
            | Self::Denial(owner)
            | Self::Nothing(owner) => &owner.name,
            Self::NoName(name) => name,
        }
    }
}

impl Owner {
    fn new(name: Name, content: Content) -> Self {
        let entry = |set: Set| Entry { record_type: set.record_type(), set, kept: Kept::default() };
        let entries = |sets: Vec<Set>| -> Vec<Entry> { sets.into_iter().map(entry).collect() };
        Self {
            name,
            same: entries(content.same),
            chosen: content.chosen.into_iter().map(entries).collect(),
            nothing: Kept::default(),
            any: Kept::default(),
        }
    }

    /// Types there are: every class has the same.
    fn types(&self) -> Vec<RecordType> {
        let chosen = self.chosen.first().into_iter().flatten();
        self.same.iter().chain(chosen).map(|entry| entry.record_type).collect()
    }
}

fn deny(name: &Name, types: Vec<RecordType>) -> Result<Record, ProtoError> {
    denial(name, types).ok_or_else(|| ProtoError::from("a name that long cannot be denied"))
}

/// The labels before `suffix`, if `name` ends in it at the border of a label.
fn below<'a>(name: &'a [u8], suffix: &[u8]) -> Option<&'a [u8]> {
    let labels = name.strip_suffix(suffix)?;
    let mut at = 0;
    while at < labels.len() {
        at += 1 + usize::from(labels[at]);
    }
    (at == labels.len()).then_some(labels)
}

fn name(labels: &str, origin: &Name) -> Name {
    if labels.is_empty() {
        return origin.clone();
    }
    // The labels were checked where they came from.
    Name::from_ascii(labels).and_then(|name| name.append_domain(origin)).unwrap_or_else(|_| origin.clone())
}

fn name_of_wire(wire: &[u8]) -> Option<Name> {
    let mut labels: Vec<&[u8]> = Vec::new();
    let mut rest = wire;
    while let Some((length, behind)) = rest.split_first() {
        if *length == 0 {
            let mut name = Name::from_labels(labels).ok()?;
            name.set_fqdn(true);
            return Some(name);
        }
        let (label, behind) = behind.split_at_checked(usize::from(*length))?;
        labels.push(label);
        rest = behind;
    }
    None
}

/// A name in wire form.
fn wire(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Cannot fail: a name is at most 255 bytes.
    let _ = name.to_lowercase().emit(&mut BinEncoder::new(&mut bytes));
    bytes
}

/// Labels in wire form, without an end.
fn wire_labels(labels: &str) -> Box<[u8]> {
    let mut bytes = Vec::new();
    for label in labels.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        bytes.extend(label.to_ascii_lowercase().bytes());
    }
    bytes.into_boxed_slice()
}

#[cfg(test)]
mod tests;
