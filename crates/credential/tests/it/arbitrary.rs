//! The fuzz targets' bodies on random bytes, and on texts close enough to be interesting.

use ambient::{Millis, SeededRandom};
use credential::{Environment, Family, Parser, WebhookSecret, webhook};
use proptest::{collection::vec, prelude::*};

use crate::harness;

proptest! {
    #[test]
    fn any_bytes(data in vec(any::<u8>(), 0..300)) {
        harness::key(&data);
        harness::origin(&data);
        harness::signature(&data);
    }

    #[test]
    fn texts_close_to_a_key(seed: u64, at: usize, with in "\\PC{0,3}") {
        let minted = Parser::default().mint(Family::Secret, Environment::Live, &SeededRandom::new(seed)).unwrap();
        let (key, at) = (minted.expose(), at % minted.expose().len());
        harness::key(format!("{}{with}{}", &key[..at], &key[at + 1..]).as_bytes());
        harness::key(key.as_bytes());
    }

    #[test]
    fn texts_close_to_an_origin(entry in "[a-z0-9.:/*\\[\\]é-]{1,20}", origin in "(https?://)?[a-z0-9.:@/\\[\\]-]{0,20}") {
        harness::origin(format!("{entry}\n{origin}").as_bytes());
        harness::origin(format!("{entry}\nhttps://{entry}").as_bytes());
        harness::origin(format!("{entry}\nhttps://a.{entry}").as_bytes());
    }

    #[test]
    fn texts_close_to_a_signature(id in "[a-z_.]{0,6}", timestamp in "-?[0-9]{1,20}", mac: [u8; 32], body: Vec<u8>) {
        let header = format!("v1,{}", data_encoding::BASE64.encode(&mac));
        harness::signature(&[format!("{id}\n{timestamp}\n{header}\n").as_bytes(), &body].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn texts_close_to_a_token(header in "\\{\"typ\":\"(chatsession|participant)\\+jwt\",\"alg\":\"(HS256|EdDSA|none)\",\"kid\":\"[a-f0-9]{0,16}\"\\}",
        payload: Vec<u8>, signature in vec(any::<u8>(), 0..70), dots in "[.]{1,2}") {
        let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        let text = format!("{}.{}{dots}{}", encode(header.as_bytes()), encode(&payload), encode(&signature));
        harness::token(text.as_bytes());
        harness::token(&payload);
    }
}

/// The harness for signatures would notice a verifier that believes everything.
#[test]
fn a_good_signature_is_what_the_harness_must_never_meet() {
    let secret = WebhookSecret::generate(&SeededRandom::new(1)).unwrap();
    let signed = webhook::sign(&secret, "a", 7, b"x").unwrap();
    assert_eq!(webhook::verify(&[secret], "a", "7", &signed, b"x", Millis(7000)), Ok(()));
    let met = std::panic::catch_unwind(|| harness::signature(format!("a\n7\n{signed}\nx").as_bytes()));
    assert!(met.is_err());
}
