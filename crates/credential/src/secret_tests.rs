use std::collections::HashSet;

use ambient::SeededRandom;
use hkdf::HmacImpl;
use hmac::Hmac;
use proptest::prelude::*;

use super::*;

fn root(seed: u64) -> RootSecret {
    RootSecret::generate(&SeededRandom::new(seed)).unwrap()
}

fn refusal(bytes: &[u8]) -> Option<WeakSecret> {
    RootSecret::from_bytes(bytes).err()
}

#[test]
fn weak_secrets_are_refused() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    assert_eq!(refusal(&[]), Some(WeakSecret::Short));
    assert_eq!(refusal(&root(1).0[..31]), Some(WeakSecret::Short));
    assert_eq!(refusal(&[0; 32]), Some(WeakSecret::Pattern));
    assert_eq!(refusal(&[0xFF; 64]), Some(WeakSecret::Pattern));
    assert_eq!(refusal(&ascending), Some(WeakSecret::Pattern));
    assert_eq!(refusal(&descending), Some(WeakSecret::Pattern));
    assert_eq!(refusal(b"0123456789abcdef0123456789abcdef"), Some(WeakSecret::Pattern));
    assert_eq!(refusal(b"aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbcdefg"), Some(WeakSecret::Pattern), "seven bytes");
    assert_eq!(refusal(&b"changeme".repeat(4)), Some(WeakSecret::Example));
    assert_eq!(refusal(b"My-Example-Secret-0123456789-zyxwvu"), Some(WeakSecret::Example));
}

#[test]
fn weak_secrets_are_refused_in_every_spelling() {
    let ascending: Vec<u8> = (0..32).collect();
    for text in [
        HEXLOWER.encode(&[7; 32]),
        BASE64.encode(&ascending),
        BASE64URL_NOPAD.encode(&[0; 32]),
        "changeme".repeat(8),
        "  changeme-changeme-changeme-changeme\n".into(),
    ] {
        assert!(RootSecret::parse(&text).is_err(), "{text}");
    }
    assert_eq!(RootSecret::parse(&HEXLOWER.encode(&root(1).0[..15])).err(), Some(WeakSecret::Short));
}

#[test]
fn every_spelling_reads_as_the_same_bytes() {
    let secret = root(5);
    let hex = HEXLOWER.encode(&secret.0);
    for text in [
        hex.to_uppercase(),
        format!(" {hex}\n"),
        hex,
        BASE64.encode(&secret.0),
        BASE64_NOPAD.encode(&secret.0),
        BASE64URL.encode(&secret.0),
        secret.to_text().to_string(),
    ] {
        assert_eq!(*RootSecret::parse(&text).unwrap().0, *secret.0, "{text}");
    }
    let phrase = "correct horse battery staple, and then some";
    assert_eq!(&**RootSecret::parse(phrase).unwrap().0, phrase.as_bytes());
}

#[test]
fn a_random_source_that_gives_a_pattern_has_failed() {
    struct Stuck;
    impl Random for Stuck {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Ok(())
        }
    }
    assert_eq!(RootSecret::generate(&Stuck).err(), Some(RandomError));
}

#[test]
fn a_digest_is_the_documented_hmac_under_the_derived_pepper() {
    let secret = root(1);
    let mut pepper = [0; 32];
    Hkdf::<Sha256>::new(Some(b"chatelaine"), &secret.0).expand(b"pepper:apikey:v1", &mut pepper).unwrap();
    let mut mac = <Hmac<Sha256> as HmacImpl>::new_from_slice(&pepper);
    HmacImpl::update(&mut mac, b"apikey:v1\0sk_live_x");
    let expected: [u8; 32] = HmacImpl::finalize(mac).into();
    assert_eq!(Secrets::new(&secret, None).digest("sk_live_x").0, expected);
}

/// Changing any derivation would lose every stored key: this is the stored format. The values were
/// computed with Python's `hmac` and `hashlib`.
#[test]
fn derivations_are_frozen() {
    let secrets = Secrets::new(&root(1), None);
    assert_eq!(secrets.id(), FROZEN_ID);
    assert_eq!(secrets.digest("sk_live_x").to_hex(), FROZEN_DIGEST);
    assert_eq!(secrets.digest_for("setup", b"x").to_hex(), FROZEN_PURPOSE);
}

const FROZEN_ID: &str = "13e4368974649572";
const FROZEN_DIGEST: &str = "d6654b0e643d860ea36aa916d9fd4d845228b65ff0afae05f823a6245221b71e";
const FROZEN_PURPOSE: &str = "49e12abe11cc488fc4b83e59f2897ca72d41aea4c93a8cbc01985c7b2c7ab5a5";

#[test]
fn purposes_secrets_and_texts_never_share_a_digest() {
    let (a, b) = (Secrets::new(&root(1), None), Secrets::new(&root(2), None));
    let digests = [
        a.digest("x"),
        b.digest("x"),
        a.digest("y"),
        a.digest_for("", b"x"),
        a.digest_for("apikey:v1", b"x"),
        a.digest_for("apikey:v1\0", b"x"),
        a.digest_for("ab", b"c"),
        a.digest_for("a", b"bc"),
        b.digest_for("a", b"bc"),
    ];
    assert_eq!(digests.iter().map(|d| d.0).collect::<HashSet<_>>().len(), digests.len());
}

#[test]
fn after_a_rotation_the_old_secret_is_the_previous_one() {
    let (old, new) = (root(1), root(2));
    let (before, after) = (Secrets::new(&old, None), Secrets::new(&new, Some(&old)));
    assert_eq!(after.previous_digest("key"), Some(before.digest("key")));
    assert_eq!(after.previous_digest_for("setup", b"t"), Some(before.digest_for("setup", b"t")));
    assert_ne!(after.digest("key"), before.digest("key"));
    assert_eq!(after.previous_id(), Some(before.id()));
    assert_ne!(after.id(), before.id());
    assert_eq!((before.previous_id(), before.previous_digest("key")), (None, None));
    let sealed = before.sealer().seal(b"c", b"text", &SeededRandom::new(1)).unwrap();
    assert_eq!(&**after.sealer().open(b"c", &sealed).unwrap(), b"text");
    assert!(after.sealer().is_stale(&sealed));
}

#[test]
fn the_same_secret_twice_is_no_rotation() {
    let same = root(1);
    assert_eq!(Secrets::new(&same, Some(&same)).previous_id(), None);
}

#[test]
fn debug_of_a_secret_says_nothing() {
    let secret = root(1);
    let secrets = Secrets::new(&secret, None);
    assert_eq!(format!("{secret:?}"), "RootSecret(…)");
    assert_eq!(format!("{:?}", secrets.digest("x")), "Digest(…)");
    assert_eq!(format!("{secrets:?}"), format!("Secrets {{ id: {:?}, previous_id: None }}", secrets.id()));
}

proptest! {
    #[test]
    fn what_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 32..80)) {
        if let Ok(secret) = RootSecret::from_bytes(&bytes) {
            prop_assert_eq!(&*RootSecret::parse(&secret.to_text()).unwrap().0, &bytes);
        }
    }

    #[test]
    fn constant_time_and_plain_equality_agree(a: [u8; 32], b: [u8; 32]) {
        prop_assert_eq!(Digest(a).ct_eq(&Digest(b)), a == b);
        prop_assert!(Digest(a).ct_eq(&Digest(a)));
    }
}
