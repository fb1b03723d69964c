//! What must hold for any bytes at all. The fuzz targets in `fuzz/` include this file; the tests
//! beside it run the same bodies on random bytes, so that CI needs no nightly compiler.

use ambient::{Millis, SeededRandom};
use credential::{
    AllowedOrigins, Form, Parser, RootSecret, Secrets, Tokens, WebhookSecret,
    key::{BODY, IMPORTED},
    origin::is_canonical_origin,
    token::{Algorithm, MAX_BYTES},
    webhook,
};

/// A text is read as a key only if it is one, and no display gives it away.
pub(crate) fn key(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parser = Parser::default();
    match parser.parse(text) {
        Ok(Form::Generated { text: read, .. }) => {
            assert_eq!(read, text);
            let body = &text.as_bytes()[text.len() - BODY..];
            assert!(body.iter().all(u8::is_ascii_alphanumeric));
        }
        Ok(Form::Imported { text: read }) => {
            assert_eq!(read, text);
            assert!(IMPORTED.contains(&text.len()) && text.is_ascii());
        }
        Err(_) => {}
    }
    assert!(parser.display(text).chars().count() <= 32 + 9);
    let _ = RootSecret::parse(text);
}

/// No bytes are a token: nobody has the key.
pub(crate) fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(root) = RootSecret::generate(&SeededRandom::new(1)) else { return };
    let secrets = Secrets::new(&root, None);
    for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
        let Ok(tokens) = Tokens::new(&secrets, algorithm, "fuzz") else { return };
        assert!(tokens.verify_session(text, Millis(0)).is_err());
        assert!(tokens.verify_participant(text, Millis(0)).is_err());
    }
    if Tokens::kind_of(text).is_some() {
        assert!(text.len() <= MAX_BYTES && text.split('.').count() == 3);
    }
}

/// The first line is an entry, the rest an origin. What passes is canonical and on that host.
pub(crate) fn origin(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (entry, origin) = text.split_once('\n').unwrap_or(("mysite.com", text));
    let Ok(allowed) = AllowedOrigins::parse(&[entry]) else { return };
    let entries = allowed.entries();
    assert_eq!(AllowedOrigins::parse(&entries).as_ref(), Ok(&allowed), "saved entries read back");
    if allowed.allows(origin, false) {
        assert!(is_canonical_origin(origin));
        let host = |text: &str| text.split_once("://").map_or(text, |(_, rest)| rest).to_owned();
        assert!(entries.iter().any(|entry| host(origin).ends_with(&host(entry))), "{origin} by {entries:?}");
    }
}

/// Three lines of headers and a body: never believed, whatever they say.
pub(crate) fn signature(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
    let (id, timestamp, header) = (line(), line(), line());
    let body = parts.next().unwrap_or_default();
    let Ok(secret) = WebhookSecret::generate(&SeededRandom::new(1)) else { return };
    let now = Millis::from_seconds(timestamp.parse().unwrap_or(0));
    assert!(webhook::verify(std::slice::from_ref(&secret), id, timestamp, header, body, now).is_err());
    assert!(!webhook::verify_plain(b"a secret nobody has", body, header));
    let _ = WebhookSecret::parse(header);
    if let Ok(signed) = webhook::sign(&secret, id, now.seconds(), body) {
        let text = now.seconds().to_string();
        assert_eq!(webhook::verify(&[secret], id, &text, &signed, body, now), Ok(()));
    }
}
