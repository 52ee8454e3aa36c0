//! Two releases on one mesh: what a newer one adds to a message an older one leaves aside, and what an older one does
//! not know it refuses without harm.

use serde::de::DeserializeOwned;

use super::super::Question;
use crate::audit::AuditAnswer;
use crate::blob::BlobAnswer;
use crate::mesh::Outcome;
use crate::mesh::envelope::{self, Malformed};
use crate::store::RecordsAnswer;

const QUESTIONS: [&str; 13] = [
    r#"{"replay":{"id":"018f4e2c-0000-7000-8000-000000000000","client":"192.0.2.1:5","within_ms":1,"method":"GET","uri":"/","headers":[["a","b"]],"newer":{}}}"#,
    r#"{"records":{"hint":{"group":"main","epoch":1,"frame":2,"acked":null,"newer":1}}}"#,
    r#"{"records":{"copy":{"group":"main","epoch":1,"frame":2,"newer":1}}}"#,
    r#"{"records":{"log-token":{"group":"main","epoch":1,"newer":1}}}"#,
    r#"{"records":{"schema":{"group":"main","epoch":1,"contracts":[{"series":"functions","version":3,"checksum":"ab","newer":1}],"newer":1}}}"#,
    r#"{"records":{"hand-over":{"group":"main","epoch":1,"migration":{"series":"host","version":4,"name":"a","phase":"expand","sql":"","newer":1},"newer":1}}}"#,
    r#"{"audit":{"events":{"group":"main","file":{"log":1,"first":2,"newer":1},"offset":3,"newer":1}}}"#,
    r#"{"blob":{"part":{"group":"main","object":"000102030405060708090a0b0c0d0e0f","offset":3,"newer":1}}}"#,
    r#"{"blob":{"fetch":{"group":"main","object":"000102030405060708090a0b0c0d0e0f","offset":3,"length":4,"newer":1}}}"#,
    r#"{"log":{"group":"main","epoch":1,"newer":1}}"#,
    r#"{"copy":{"group":"main","epoch":1,"newer":1}}"#,
    r#"{"audit":{"checkpoint":{"group":"main","token":"a.b.c","key":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k","alg":"EdDSA","use":"sig"},"newer":1}}}"#,
    r#"{"replay":{"id":"018f4e2c-0000-7000-8000-000000000000","client":"[2001:db8::1]:5","within_ms":1,"method":"POST","uri":"/","headers":[]}}"#,
];

fn open<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    let json = serde_json::from_str::<serde_json::Value>(text).unwrap();
    envelope::open(&envelope::seal(&json, b"").unwrap().into()).map(|(message, _)| message)
}

#[test]
fn what_a_newer_release_adds_to_a_question_is_left_aside() {
    for text in QUESTIONS {
        assert!(open::<Question>(text).is_ok(), "{text}");
    }
}

#[test]
fn what_a_newer_release_adds_to_an_answer_is_left_aside() {
    for text in [r#"{"hint":"fetches"}"#, r#"{"hint":{"fenced":{"promised":3,"newer":1}}}"#, r#"{"acked":5}"#]
    {
        assert!(open::<RecordsAnswer>(text).is_ok(), "{text}");
    }
    assert!(
        open::<RecordsAnswer>(r#"{"handed-over":{"refused":{"why":"a word of theirs","newer":1}}}"#).is_ok()
    );
    assert!(open::<AuditAnswer>(r#"{"held":{"bytes":5,"newer":1}}"#).is_ok());
    assert!(open::<BlobAnswer>(r#"{"held":{"bytes":5,"newer":1}}"#).is_ok());
    for text in [
        r#"{"answered":{"status":200,"headers":[],"newer":1}}"#,
        r#"{"not-writer":{"writer":null,"newer":1}}"#,
    ] {
        let json = serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert!(Outcome::open(envelope::seal(&json, b"").unwrap()).is_ok(), "{text}");
    }
}

#[test]
fn a_question_of_a_newer_release_is_none() {
    for text in [r#"{"newer":{"group":"main"}}"#, r#"{"records":{"newer":{"group":"main"}}}"#] {
        assert!(open::<Question>(text).is_err(), "{text}");
    }
}
