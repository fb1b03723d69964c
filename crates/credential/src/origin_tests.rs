use proptest::prelude::*;

use super::*;

fn list(entries: &[&str]) -> AllowedOrigins {
    AllowedOrigins::parse(entries).unwrap()
}

fn reason(entry: &str) -> Option<&'static str> {
    AllowedOrigins::parse(&[entry]).err().map(|error| error.reason)
}

/// Every row of the rule, for a key that lists `mysite.com` and `example.com`.
#[test]
fn the_table_of_origins() {
    let key = list(&["mysite.com", "example.com"]);
    let rows: &[(&str, bool)] = &[
        ("https://mysite.com", true),
        ("https://www.mysite.com", true),
        ("https://a.b.c.mysite.com", true),
        ("https://example.com", true),
        ("https://xn--bcher-kva.mysite.com", true),
        ("https://my_app.mysite.com", true),
        // Suffix and prefix look-alikes (CVE-2023-36829).
        ("https://evil-example.com", false),
        ("https://notmysite.com", false),
        ("https://mysite.com.evil.com", false),
        ("https://mysite.com-evil.com", false),
        ("https://mysite.comm", false),
        ("https://mysite.co", false),
        ("https://mysite", false),
        ("https://com", false),
        ("https://evil.com", false),
        ("https://mysitexcom.com", false),
        // Punycode that only pretends (RUSTSEC-2024-0421), and look-alike letters.
        ("https://xn--mysite-.com", false),
        ("https://xn--mysite.com", false),
        ("https://xn--example-.com", false),
        ("https://mуsite.com", false),
        ("https://mysite。com", false),
        // Spellings that no browser sends.
        ("https://MySite.com", false),
        ("HTTPS://mysite.com", false),
        ("https://mysite.com:443", false),
        ("https://mysite.com/", false),
        ("https://mysite.com.", false),
        ("https://mysite.com..", false),
        ("https://.mysite.com", false),
        ("https://a..mysite.com", false),
        ("https://%6dysite.com", false),
        ("https://mysite.com%2f", false),
        ("https:\\\\mysite.com", false),
        ("https:/mysite.com", false),
        ("https:mysite.com", false),
        ("https:///mysite.com", false),
        (" https://mysite.com", false),
        ("https://mysite.com ", false),
        ("https://my\tsite.com", false),
        ("https://mysite.com\n", false),
        // Userinfo, path, query, fragment.
        ("https://user@mysite.com", false),
        ("https://user:pass@mysite.com", false),
        ("https://evil.com@mysite.com", false),
        ("https://mysite.com@evil.com", false),
        ("https://mysite.com/path", false),
        ("https://mysite.com?q", false),
        ("https://mysite.com#f", false),
        ("https://evil.com/mysite.com", false),
        ("https://evil.com?mysite.com", false),
        ("https://evil.com#.mysite.com", false),
        // Scheme and port.
        ("http://mysite.com", false),
        ("http://www.mysite.com", false),
        ("https://mysite.com:8443", false),
        ("https://mysite.com:80", false),
        ("ws://mysite.com", false),
        ("ftp://mysite.com", false),
        ("//mysite.com", false),
        ("mysite.com", false),
        // Opaque origins (CVE-2024-47165, CVE-2026-27978).
        ("null", false),
        ("", false),
        ("*", false),
        ("file://", false),
        ("file://mysite.com", false),
        ("chrome-extension://mysite.com", false),
        ("moz-extension://mysite.com", false),
        ("data:text/html,mysite.com", false),
        ("blob:https://mysite.com/x", false),
        ("about:blank", false),
        // Two in one header.
        ("https://mysite.com, https://evil.com", false),
        ("https://mysite.com https://evil.com", false),
    ];
    for (origin, allowed) in rows {
        assert_eq!(key.allows(origin, true), *allowed, "{origin:?}");
        assert_eq!(key.allows(origin, false), *allowed, "{origin:?} without localhost");
    }
}

#[test]
fn localhost_is_three_exact_hosts_and_a_switch() {
    let key = list(&["mysite.com"]);
    for origin in [
        "http://localhost",
        "https://localhost",
        "http://localhost:3000",
        "https://localhost:8443",
        "http://127.0.0.1",
        "http://127.0.0.1:5173",
        "http://[::1]",
        "http://[::1]:3000",
    ] {
        assert!(key.allows(origin, true), "{origin}");
        assert!(!key.allows(origin, false), "{origin} is off");
    }
    for origin in [
        "http://localhost.evil.com",
        "http://evil.localhost",
        "http://localhost.",
        "http://LOCALHOST",
        "http://127.0.0.2",
        "http://127.0.0.1.evil.com",
        "http://2130706433",
        "http://0x7f000001",
        "http://0177.0.0.1",
        "http://127.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::ffff:127.0.0.1]",
        "http://localhost:80",
        "http://localhost@evil.com",
        "ws://localhost",
        "localhost",
    ] {
        assert!(!key.allows(origin, true), "{origin}");
    }
}

#[test]
fn http_and_ports_are_allowed_only_where_the_entry_says_so() {
    let key = list(&[
        "http://plain.example.com",
        "ported.example.com:8443",
        "https://secure.example.com",
        "http://a.dev:8080",
    ]);
    for (origin, allowed) in [
        ("http://plain.example.com", true),
        ("http://x.plain.example.com", true),
        ("https://plain.example.com", true),
        ("http://plain.example.com:8080", false),
        ("https://ported.example.com:8443", true),
        ("https://x.ported.example.com:8443", true),
        ("https://ported.example.com", false),
        ("http://ported.example.com:8443", false),
        ("https://secure.example.com", true),
        ("http://secure.example.com", false),
        ("http://a.dev:8080", true),
        ("http://a.dev", false),
        ("https://example.com", false),
    ] {
        assert_eq!(key.allows(origin, false), allowed, "{origin}");
    }
}

#[test]
fn addresses_and_bare_names_are_exact() {
    let key = list(&["192.0.2.7", "http://[2001:db8::1]:8080", "http://intranet", "localhost"]);
    for (origin, allowed) in [
        ("https://192.0.2.7", true),
        ("https://1.192.0.2.7", false),
        ("https://192.0.2.70", false),
        ("https://3221225991", false),
        ("http://[2001:db8::1]:8080", true),
        ("http://[2001:0db8::1]:8080", false),
        ("http://intranet", true),
        ("http://evil.intranet", false),
        ("https://localhost", true),
        ("https://evil.localhost", false),
        ("http://localhost", false),
    ] {
        assert_eq!(key.allows(origin, false), allowed, "{origin}");
    }
}

#[test]
fn entries_are_saved_in_one_spelling() {
    let saved = |entry: &str| list(&[entry]).entries().join(" ");
    for (written, expected) in [
        ("MySite.COM", "mysite.com"),
        ("  mysite.com  ", "mysite.com"),
        ("HTTPS://MySite.com", "https://mysite.com"),
        ("https://mysite.com:443", "https://mysite.com"),
        ("http://mysite.com:80", "http://mysite.com"),
        ("mysite.com:8443", "mysite.com:8443"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("mysite。com", "mysite.com"),
        ("a.com,b.com, c.com,", "a.com b.com c.com"),
        ("a.com,A.com,a.com:443", "a.com"),
        ("[2001:0DB8:0::1]", "[2001:db8::1]"),
        ("app.vercel.app", "app.vercel.app"),
        ("me.github.io", "me.github.io"),
    ] {
        assert_eq!(saved(written), expected, "{written}");
    }
    assert!(list(&["bücher.example"]).allows("https://xn--bcher-kva.example", false));
}

#[test]
fn entries_that_would_let_strangers_in_are_refused() {
    for suffix in [
        "com",
        "co.uk",
        "github.io",
        "vercel.app",
        "COM",
        "https://github.io",
        "pages.dev",
        "netlify.app",
        "eu-west-1.compute.amazonaws.com",
        "公司.cn",
        "xn--55qx5d.cn",
        "дети",
        "xn--d1acj3b",
        "anything.ck",
    ] {
        assert!(reason(suffix).is_some_and(|r| r.starts_with("Anyone")), "{suffix}: {:?}", reason(suffix));
    }
    for wildcard in ["*", "*.mysite.com", "https://*.mysite.com", "my*.com", "https://*"] {
        assert!(reason(wildcard).is_some_and(|r| r.starts_with("Wildcards")), "{wildcard}");
    }
    for range in ["10.0.0.0/8", "192.168.1.0/24", "::/0", "fe80::1/10"] {
        assert!(reason(range).is_some_and(|r| r.starts_with("Address ranges")), "{range}: {:?}", reason(range));
    }
    for path in ["mysite.com/", "mysite.com/chat", "https://mysite.com/?x", "mysite.com?x", "mysite.com#x", "a\\b.com"]
    {
        assert!(reason(path).is_some_and(|r| r.starts_with("Leave out")), "{path}");
    }
    for scheme in ["ftp://mysite.com", "file://mysite.com", "chrome-extension://abc", "://mysite.com", "ws://a.com"] {
        assert!(reason(scheme).is_some_and(|r| r.starts_with("Only https")), "{scheme}");
    }
    for address in ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "https://017.0.0.1:8080"] {
        assert!(
            reason(address).is_some_and(|r| r.starts_with("Write the address")),
            "{address}: {:?}",
            reason(address)
        );
    }
}

#[test]
fn entries_that_are_no_domain_are_refused() {
    for entry in [
        "https://",
        "user@mysite.com",
        "user:pass@mysite.com",
        "my site.com",
        "mysite.com.",
        "a..b.com",
        ".mysite.com",
        "-a.com",
        "my_site.com",
        "xn--mysite-.com",
        "xn--a.com",
        "my%73ite.com",
        "mysite.com:",
        "mysite.com:0",
        "mysite.com:99999",
        "mysite.com:x",
        "[::1",
        "1.2.3.4.5",
        "999.1.1.1",
        "a\0b.com",
        "null com",
        "https://https://a.com",
        &format!("{}.com", "a".repeat(64)),
        &format!("{}com", "abcdefg.".repeat(32)),
    ] {
        assert!(reason(entry).is_some(), "{entry}");
    }
}

#[test]
fn an_error_says_which_entry_it_was() {
    let error = AllowedOrigins::parse(&["a.com,b.com", "c.com", "d.com, *.e.com"]).unwrap_err();
    assert_eq!(error.index, 2);
    assert_eq!(error.to_string(), "*.e.com: Wildcards are not needed: a domain covers its subdomains.");
}

#[test]
fn one_to_fifty_entries() {
    let many = |n: usize| (0..n).map(|i| format!("site{i}.com")).collect::<Vec<_>>();
    let none = AllowedOrigins::parse(&[""; 0]).unwrap_err();
    assert_eq!(none.to_string(), "At least one domain is needed.");
    assert!(AllowedOrigins::parse(&["", " , ,"]).is_err());
    assert_eq!(AllowedOrigins::parse(&many(50)).unwrap().entries().len(), 50);
    assert_eq!(AllowedOrigins::parse(&many(51)).unwrap_err().index, 50);
    assert!(AllowedOrigins::parse(&[many(51).join(",")]).is_err());
    assert_eq!(AllowedOrigins::parse(&["a.com"; 60]).unwrap().entries(), ["a.com"]);
}

#[test]
fn an_origin_has_at_most_255_bytes() {
    let key = list(&["mysite.com"]);
    let host = |length: usize| {
        let labels = "abcdefg.".repeat(40);
        let tail = ".mysite.com";
        format!("https://x{}{tail}", &labels[..length - 9 - tail.len()]).replace("..", "a.")
    };
    assert_eq!((host(255).len(), host(256).len()), (255, 256));
    assert!(key.allows(&host(255), false));
    assert!(!key.allows(&host(256), false));
}

#[test]
fn canonical_origins_are_what_a_browser_sends() {
    for origin in ["https://a.com", "http://a.com:8080", "http://[::1]:3000", "http://1.2.3.4"] {
        assert!(is_canonical_origin(origin), "{origin}");
    }
    for text in ["null", "https://A.com", "https://a.com/", "https://a.com:443", "http://2130706433", "ws://a.com", ""]
    {
        assert!(!is_canonical_origin(text), "{text}");
    }
}

proptest! {
    #[test]
    fn saved_entries_read_back_the_same(name in "[a-z][a-z0-9-]{0,10}[a-z0-9]\\.(com|org|example)", port in proptest::option::of(1_u16..),
        scheme in "(http://|https://|)") {
        let entry = format!("{scheme}{name}{}", port.map(|p| format!(":{p}")).unwrap_or_default());
        if let Ok(first) = AllowedOrigins::parse(&[&entry]) {
            prop_assert_eq!(AllowedOrigins::parse(&first.entries()), Ok(first));
        }
    }

    /// Whatever the text, what passes is https on a host that is the domain or below it.
    #[test]
    fn nothing_but_the_domain_and_its_subdomains_passes(before in "[a-z.@:/?#%\\\\_-]{0,8}", after in "[a-z.@:/?#%\\\\0-9-]{0,8}") {
        let origin = format!("https://{before}mysite.com{after}");
        if list(&["mysite.com"]).allows(&origin, false) {
            prop_assert!(after.is_empty());
            prop_assert!(before.is_empty() || before.ends_with('.'));
        }
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "\\PC{0,60}") {
        let _ = AllowedOrigins::parse(&[&text]);
        if is_canonical_origin(&text) {
            prop_assert!(text.starts_with("http"));
        }
    }
}

#[test]
fn a_frame_may_be_where_the_key_works_and_nowhere_else() {
    let written =
        ["mysite.com", "https://shop.example:8443", "http://old.example", "intranet", "203.0.113.7", "[2001:db8::1]"];
    let origins = AllowedOrigins::parse(&written).unwrap();
    let expected = [
        "https://mysite.com",
        "https://*.mysite.com",
        "https://shop.example:8443",
        "https://*.shop.example:8443",
        "http://old.example",
        "http://*.old.example",
        "https://intranet",
        "https://203.0.113.7",
    ];
    assert_eq!(origins.frame_sources(false), expected);
    assert_eq!(origins.frame_sources(true)[8..], ["http://localhost:*", "http://127.0.0.1:*"]);
    let umlaut = AllowedOrigins::parse(&["bücher.example"]).unwrap();
    assert_eq!(umlaut.frame_sources(false)[0], "https://xn--bcher-kva.example", "a header holds ASCII alone");
}
