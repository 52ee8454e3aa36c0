//! Everything of an answer that does not depend on who asks, encoded once: what stands behind the question and
//! before the OPT record.

use hickory_server::proto::ProtoError;
use hickory_server::proto::rr::{Name, Record};
use hickory_server::proto::serialize::binary::{BinEncodable as _, BinEncoder};

/// Length of a message's header.
const HEADER: usize = 12;
/// Type and class behind the name in a question.
const QUESTION_END: usize = 4;

/// The records of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sections {
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
}

/// The same, encoded. Names point into the question, so it fits every message that asks for the same name, however
/// its letters are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) answers: u16,
    pub(crate) authorities: u16,
    pub(crate) additionals: u16,
    /// Bytes without the additional section, which may be left out.
    pub(crate) needed: usize,
}

impl Body {
    /// Encodes the answer to a question for `name`.
    pub(crate) fn encode(name: &Name, sections: &Sections) -> Result<Self, ProtoError> {
        let mut message = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut message);
        encoder.emit_vec(&[0; HEADER])?;
        name.emit(&mut encoder)?;
        encoder.emit_vec(&[0; QUESTION_END])?;
        let begin = encoder.len();
        let answers = emit(&mut encoder, &sections.answers)?;
        let authorities = emit(&mut encoder, &sections.authorities)?;
        let needed = encoder.len() - begin;
        let additionals = emit(&mut encoder, &sections.additionals)?;
        Ok(Self { bytes: message.split_off(begin), answers, authorities, additionals, needed })
    }
}

fn emit(encoder: &mut BinEncoder<'_>, records: &[Record]) -> Result<u16, ProtoError> {
    for record in records {
        record.emit(encoder)?;
    }
    u16::try_from(records.len()).map_err(|_| ProtoError::from("too many records"))
}
