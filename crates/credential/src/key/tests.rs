use std::collections::HashSet;

use ambient::{OsRandom, Random, RandomError, SeededRandom};
use proptest::prelude::*;

use super::*;

const FAMILIES: [(Family, Environment, &str); 8] = [
    (Family::Secret, Environment::Live, "sk_live_"),
    (Family::Secret, Environment::Test, "sk_test_"),
    (Family::ServiceAccount, Environment::Live, "fln_live_"),
    (Family::ServiceAccount, Environment::Test, "fln_test_"),
    (Family::Deployment, Environment::Live, "cf_"),
    (Family::Deployment, Environment::Test, "cf_"),
    (Family::Widget, Environment::Live, "tk_widget_"),
    (Family::Widget, Environment::Test, "tk_widget_"),
];

fn mint(seed: u64, family: Family, environment: Environment) -> String {
    Parser::default().mint(family, environment, &SeededRandom::new(seed)).unwrap().expose().to_owned()
}

fn key() -> String {
    mint(1, Family::Secret, Environment::Live)
}

fn error(text: &str) -> Option<KeyError> {
    Parser::default().parse(text).err()
}

/// One source that repeats one byte, and one that fails.
struct Constant(u8);
impl Random for Constant {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        buffer.fill(self.0);
        if self.0 == 254 { Err(RandomError) } else { Ok(()) }
    }
}

#[test]
fn a_minted_key_is_its_prefix_and_38_base62_characters() {
    for (family, environment, prefix) in FAMILIES {
        let key = mint(1, family, environment);
        let body = key.strip_prefix(prefix).unwrap();
        assert_eq!(body.len(), 38, "{key}");
        assert!(body.bytes().all(|b| BASE62.contains(&b)));
        let expected = match family {
            Family::Secret | Family::ServiceAccount => Some(environment),
            Family::Deployment | Family::Widget => None,
        };
        let form = Form::Generated { family, environment: expected, text: &key };
        assert_eq!(Parser::default().parse(&key), Ok(form));
        assert_eq!(form.text(), key);
    }
}

#[test]
fn the_checksum_is_crc32_in_six_base62_digits() {
    // CRC-32/ISO-HDLC of "123456789" is 0xCBF43926 = 3421780262, the standard's check value.
    let digits = checksum(b"123456789");
    let value = digits.iter().fold(0_u64, |sum, d| sum * 62 + BASE62.iter().position(|b| b == d).unwrap() as u64);
    assert_eq!(value, 3_421_780_262);
    assert_eq!(&checksum(b""), b"000000", "padded");
}

#[test]
fn prefix_length_alphabet_and_checksum_are_checked_in_that_order() {
    let key = key();
    assert_eq!(error(&key[..key.len() - 1]), Some(KeyError::Length));
    assert_eq!(error(&format!("{key}0")), Some(KeyError::Length));
    assert_eq!(error("sk_live_"), Some(KeyError::Length));
    for bad in ["-", "_", "=", " ", "\0", "\n", "'", "."] {
        assert_eq!(error(&format!("{}{bad}{}", &key[..12], &key[13..])), Some(KeyError::Alphabet), "{bad:?}");
    }
    assert_eq!(error(&format!("sk_live_{}é", &key[8..44])), Some(KeyError::Alphabet), "bytes are counted");
    let other = if key.ends_with('0') { "1" } else { "0" };
    assert_eq!(error(&format!("{}{other}", &key[..45])), Some(KeyError::Checksum));
}

#[test]
fn every_single_typing_error_and_every_swap_is_caught() {
    let key = key();
    for at in 8..key.len() {
        for digit in BASE62 {
            let mut bytes = key.clone().into_bytes();
            if bytes[at] != *digit {
                bytes[at] = *digit;
                assert_eq!(error(std::str::from_utf8(&bytes).unwrap()), Some(KeyError::Checksum));
            }
        }
        let mut bytes = key.clone().into_bytes();
        if at + 1 < bytes.len() && bytes[at] != bytes[at + 1] {
            bytes.swap(at, at + 1);
            assert_eq!(error(std::str::from_utf8(&bytes).unwrap()), Some(KeyError::Checksum));
        }
    }
}

#[test]
fn the_prefix_decides_family_and_environment() {
    let live = key();
    let test = live.replace("sk_live_", "sk_test_");
    let Ok(Form::Generated { environment, .. }) = Parser::default().parse(&test) else { panic!() };
    assert_eq!(environment, Some(Environment::Test), "the digest covers the prefix, so this is another key");
    assert_eq!(error(&live.replace("sk_live_", "SK_LIVE_")), None, "an unknown prefix is an imported key");
}

#[test]
fn the_longest_matching_prefix_wins() {
    let prefixes = Prefixes { deployment: "sk_".into(), widget: "sk_live_widget_".into(), ..Prefixes::default() };
    let parser = Parser::new(prefixes).unwrap();
    let random = SeededRandom::new(1);
    for (family, environment) in
        [(Family::Deployment, None), (Family::Secret, Some(Environment::Live)), (Family::Widget, None)]
    {
        let key = parser.mint(family, Environment::Live, &random).unwrap();
        let form = Form::Generated { family, environment, text: key.expose() };
        assert_eq!(parser.parse(key.expose()), Ok(form), "{}", key.expose());
    }
}

#[test]
fn imported_keys_have_bearer_syntax_and_16_to_512_bytes() {
    let parser = Parser::default();
    for text in ["0123456789abcdef", "a-legacy.key_~+/value==", "wk0123456789abcdef0123456789abcdef", &"x".repeat(512)]
    {
        assert_eq!(parser.parse(text), Ok(Form::Imported { text }));
    }
    for text in ["", "short", "0123456789abcde", &"x".repeat(513)] {
        assert_eq!(parser.parse(text), Err(KeyError::Length), "{text}");
    }
    for text in [
        "has a space in the middle",
        "control\u{7}character-here",
        "new-line-at-the-end\n",
        "quote'; DROP TABLE keys --",
        "\"quoted-0123456789\"",
        "comma,separated,values",
        "non-ascii-é-0123456789",
        "padding=in=the=middle",
        "=================",
        "percent%20encoded%00",
    ] {
        assert_eq!(parser.parse(text), Err(KeyError::Syntax), "{text}");
    }
}

#[test]
fn display_shows_prefix_and_eight_characters() {
    let parser = Parser::default();
    for (family, environment, prefix) in FAMILIES {
        let key = mint(1, family, environment);
        let body = &key[prefix.len()..];
        assert_eq!(parser.display(&key), format!("{prefix}{}…{}", &body[..4], &body[34..]));
    }
    assert_eq!(parser.display("0123456789abcdef"), "01…ef");
    assert_eq!(parser.display("wk0123456789abcdef0123456789abcdef"), "wk…ef", "never more than four");
    assert_eq!(parser.display("0123456789"), "0…9", "a quarter at most");
    assert_eq!(parser.display("éééé"), "…");
    assert_eq!(parser.display("sk_live_tooshort"), "sk…rt", "no known form: the rule for imported keys");
}

#[test]
fn debug_never_shows_a_key() {
    let parser = Parser::default();
    let key = parser.mint(Family::Secret, Environment::Live, &SeededRandom::new(1)).unwrap();
    assert_eq!(format!("{key:?}"), "ApiKey(…)");
    assert_eq!(format!("{:?}", parser.parse(key.expose()).unwrap()), "Generated(Secret, Some(Live), …)");
    assert_eq!(format!("{:?}", parser.parse("imported-key-0123456789").unwrap()), "Imported(…)");
}

/// 10⁶ characters from the operating system's source: each digit about 16,129 times. With 61 degrees
/// of freedom chi-square exceeds 130 once in about 10⁶ runs; `byte % 62` would give some 6,600.
#[test]
fn every_character_is_equally_likely() {
    let parser = Parser::default();
    let mut counts = [0_u32; 256];
    for _ in 0..31_250 {
        let key = parser.mint(Family::Deployment, Environment::Live, &OsRandom).unwrap();
        key.expose().as_bytes()[3..35].iter().for_each(|b| counts[usize::from(*b)] += 1);
    }
    let expected = 1_000_000.0 / 62.0;
    let chi: f64 = BASE62.iter().map(|b| (f64::from(counts[usize::from(*b)]) - expected).powi(2) / expected).sum();
    assert!(chi < 130.0, "chi-square {chi}");
}

#[test]
fn a_hundred_thousand_keys_are_all_different() {
    let parser = Parser::default();
    let keys: HashSet<String> = (0..100_000)
        .map(|_| parser.mint(Family::Deployment, Environment::Live, &OsRandom).unwrap().expose().to_owned())
        .collect();
    assert_eq!(keys.len(), 100_000);
}

#[test]
fn a_broken_random_source_makes_no_key() {
    for byte in [LIMIT_BYTE, 255, 254] {
        let made = Parser::default().mint(Family::Secret, Environment::Live, &Constant(byte));
        assert_eq!(made.err(), Some(RandomError), "{byte}");
    }
}

/// The first byte that rejection sampling throws away.
const LIMIT_BYTE: u8 = 248;

#[test]
fn prefixes_that_cannot_be_told_apart_are_refused() {
    let with = |text: &str| Prefixes { widget: text.into(), ..Prefixes::default() }.validate();
    for bad in ["", "_", "tk", "tk-", "tk widget_", "tké_", "tk_\n", &format!("{}_", "x".repeat(32))] {
        assert_eq!(with(bad), Err(PrefixError::Form("widget")), "{bad:?}");
    }
    assert_eq!(with("cf_"), Err(PrefixError::Same("deployment", "widget")));
    assert_eq!(with("acme_widget_"), Ok(()));
    assert!(Parser::new(Prefixes { secret_live: String::new(), ..Prefixes::default() }).is_err());
    assert_eq!(Prefixes::default().validate(), Ok(()));
}

#[test]
fn names_are_the_contracts() {
    for (family, name) in [
        (Family::Secret, "secret"),
        (Family::ServiceAccount, "service_account"),
        (Family::Deployment, "deployment"),
        (Family::Widget, "widget"),
    ] {
        assert_eq!(family.as_str(), name);
        assert_eq!(serde_json::to_value(family).unwrap(), name);
    }
    for environment in [Environment::Live, Environment::Test] {
        assert_eq!(environment.as_str().parse(), Ok(environment));
        assert_eq!(serde_json::to_value(environment).unwrap(), environment.as_str());
    }
    assert_eq!("Live".parse::<Environment>(), Err(UnknownEnvironment));
}

proptest! {
    #[test]
    fn what_is_minted_is_read(seed: u64, which in 0..FAMILIES.len()) {
        let (family, environment, prefix) = FAMILIES[which];
        let key = mint(seed, family, environment);
        prop_assert!(key.starts_with(prefix));
        let Ok(Form::Generated { family: read, .. }) = Parser::default().parse(&key) else { panic!("{key}") };
        prop_assert_eq!(read, family);
    }

    #[test]
    fn a_guess_after_a_known_prefix_is_never_a_key(body in "[0-9A-Za-z]{38}") {
        prop_assert_eq!(error(&format!("sk_live_{body}")), Some(KeyError::Checksum));
    }

    #[test]
    fn display_hides_all_but_eight_or_a_quarter(text in "\\PC{0,80}") {
        let shown = Parser::default().display(&text).chars().count() - 1;
        prop_assert!(shown <= 4 && shown * 4 <= text.chars().count());
    }
}

#[test]
fn a_trigger_s_token_has_a_form_of_its_own_and_a_checksum() {
    let token = mint_trigger(&SeededRandom::new(3)).unwrap();
    let text = token.expose();
    assert!(text.starts_with("cht_") && text.len() == 4 + BODY && is_trigger(text), "{text}");
    assert_ne!(text, mint_trigger(&SeededRandom::new(4)).unwrap().expose());
    let mistyped = text.replace(text.chars().nth(9).unwrap(), "-");
    let swapped: String = text[..10].chars().chain(text[10..12].chars().rev()).chain(text[12..].chars()).collect();
    for wrong in [&mistyped, &text[..41], &text[4..], "", "cht_", &text.replace("cht_", "cf_")] {
        assert!(!is_trigger(wrong), "{wrong}");
    }
    assert!(swapped == text || !is_trigger(&swapped));
    assert!(!matches!(Parser::default().parse(text), Ok(Form::Generated { .. })), "it is no key");
}
