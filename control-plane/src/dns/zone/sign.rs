//! Signatures, made while answering. Each is valid for two days from an hour ago.

use hickory_server::proto::ProtoError;
use hickory_server::proto::dnssec::rdata::{CDNSKEY, CDS, DNSSECRData, NSEC, RRSIG, SigInput};
use hickory_server::proto::dnssec::{Algorithm, DigestType, DnssecSigner, PublicKey as _, TBS};
use hickory_server::proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use std::time::Duration;

use super::keys::{KeyError, KeyState, ZoneKeys};
use super::{DNSKEY_TTL_S, NEGATIVE_TTL_S, Set};

/// For clocks that are behind.
const INCEPTION_BEFORE_S: u64 = 60 * 60;
const VALID_S: u64 = 2 * 24 * 60 * 60;
/// Says, in a list of types, that there is no such name (RFC 9824).
pub(crate) const NXNAME: RecordType = RecordType::Unknown(128);

/// Signs the zone.
pub(crate) struct Signers {
    origin: Name,
    /// The active one first.
    all: Vec<(u16, DnssecSigner)>,
    /// DNSKEY, CDS and CDNSKEY, which stand at the zone's own name.
    pub(crate) sets: Vec<Set>,
}

impl Signers {
    /// With these keys.
    pub(crate) fn new(keys: &ZoneKeys, origin: &Name) -> Result<Self, KeyError> {
        let mut all = Vec::new();
        for key in keys.list() {
            let signing = Box::new(key.signing_key()?);
            let valid = Duration::from_secs(VALID_S);
            all.push((key.tag, DnssecSigner::new(key.dnskey.clone(), signing, origin.clone(), valid)));
        }
        Ok(Self { sets: sets(keys, origin)?, origin: origin.clone(), all })
    }

    /// Signatures for one set of records. The keys themselves are signed by every key: whichever of them a
    /// resolver believes, it comes to believe all.
    pub(crate) fn sign(&self, set: &[Record], now_s: u64) -> Result<Vec<Record>, ProtoError> {
        let Some(first) = set.first() else { return Ok(Vec::new()) };
        let about_keys =
            matches!(first.record_type(), RecordType::DNSKEY | RecordType::CDS | RecordType::CDNSKEY);
        let signers = if about_keys { &self.all[..] } else { &self.all[..1] };
        signers.iter().map(|(tag, signer)| self.sign_with(*tag, signer, first, set, now_s)).collect()
    }

    fn sign_with(
        &self,
        tag: u16,
        signer: &DnssecSigner,
        first: &Record,
        set: &[Record],
        now_s: u64,
    ) -> Result<Record, ProtoError> {
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: Algorithm::ECDSAP256SHA256,
            num_labels: first.name.num_labels(),
            original_ttl: first.ttl,
            sig_expiration: serial(now_s + VALID_S),
            sig_inception: serial(now_s.saturating_sub(INCEPTION_BEFORE_S)),
            key_tag: tag,
            signer_name: self.origin.clone(),
        };
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, set.iter())?;
        let signature = RRSIG::from_sig(input, signer.sign(&tbs)?);
        let data = RData::DNSSEC(DNSSECRData::RRSIG(signature));
        Ok(Record::from_rdata(first.name.clone(), first.ttl, data))
    }
}

/// The one record that denies (RFC 9824): at `name` there is nothing but `types`, and there is no name between
/// it and the very next one. `None` for a name so long that none can come after it.
pub(crate) fn denial(name: &Name, types: impl IntoIterator<Item = RecordType>) -> Option<Record> {
    let next = name.prepend_label(&[0_u8][..]).ok()?;
    let data = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new_cover_self(next, types)));
    Some(Record::from_rdata(name.clone(), NEGATIVE_TTL_S, data))
}

/// Serial numbers of RFC 4034 begin anew in 2106.
#[allow(clippy::cast_possible_truncation)]
fn serial(seconds: u64) -> SerialNumber {
    SerialNumber::new(seconds as u32)
}

fn sets(keys: &ZoneKeys, origin: &Name) -> Result<Vec<Set>, KeyError> {
    let (mut dnskeys, mut cds, mut cdnskeys) = (Vec::new(), Vec::new(), Vec::new());
    let record = |data| Record::from_rdata(origin.clone(), DNSKEY_TTL_S, RData::DNSSEC(data));
    let algorithm = Some(Algorithm::ECDSAP256SHA256);
    for key in keys.list() {
        dnskeys.push(record(DNSSECRData::DNSKEY(key.dnskey.clone())));
        // RFC 7344: what the parent should hold. A key on its way out should go.
        if key.state != KeyState::Outgoing {
            let digest = key.digest(origin)?;
            cds.push(record(DNSSECRData::CDS(CDS::new(key.tag, algorithm, DigestType::SHA256, digest))));
            let public = key.dnskey.public_key().public_bytes().to_vec();
            let cdnskey = CDNSKEY::with_flags(key.dnskey.flags(), algorithm, public);
            cdnskeys.push(record(DNSSECRData::CDNSKEY(cdnskey)));
        }
    }
    Ok(vec![Set(dnskeys), Set(cds), Set(cdnskeys)])
}
