use super::*;

fn refusal(policy: &Policy, url: &str) -> Option<UrlRefusal> {
    policy.check_text(url).err()
}

fn open(networks: &[&str]) -> Policy {
    Policy { allow: networks.iter().map(|n| n.parse().unwrap()).collect(), ..Policy::default() }
}

#[test]
fn ordinary_addresses_pass_and_come_back_parsed() {
    for url in [
        "https://api.example.com/v1",
        "https://API.example.com/v1",
        "https://api.example.com:8443/v1?x=%20",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://api.example.com:80",
    ] {
        assert_eq!(refusal(&Policy::default(), url), None, "{url}");
    }
    let url = Policy::default().check_text("https://API.example.com").unwrap();
    assert_eq!(url.as_str(), "https://api.example.com/");
}

#[test]
fn each_rule_refuses_what_breaks_it() {
    use UrlRefusal::{Address, Fragment, LocalName, Malformed, Port, Scheme, TooLong, Userinfo};
    let long = format!("https://example.com/{}", "a".repeat(2029));
    for (url, expected) in [
        ("http://example.com/", Scheme),
        ("ftp://example.com/", Scheme),
        ("file:///etc/passwd", Scheme),
        ("gopher://example.com/", Scheme),
        ("javascript:alert(1)", Scheme),
        ("example.com", Malformed),
        ("", Malformed),
        ("https://", Malformed),
        ("https:example.com", Malformed),
        ("https://exam ple.com/", Malformed),
        ("https://example.com/\n", Malformed),
        (" https://example.com/", Malformed),
        ("https://example.com\\@evil.example/", Malformed),
        ("https://exam\tple.com/", Malformed),
        ("https://user@example.com/", Userinfo),
        ("https://user:secret@example.com/", Userinfo),
        ("https://:secret@example.com/", Userinfo),
        ("https://example.com/#x", Fragment),
        ("https://example.com/#", Fragment),
        ("https://example.com:22/", Port),
        ("https://example.com:6379/", Port),
        ("https://8.8.8.8:5432/", Port),
        ("https://localhost/", LocalName),
        ("https://LOCALHOST./", LocalName),
        ("https://x.localhost/", LocalName),
        ("https://printer.local/", LocalName),
        ("https://metadata.google.internal/", LocalName),
        ("https://metadata.google.internal./", LocalName),
        ("https://com./", LocalName),
        ("https://intranet/", LocalName),
        ("https://127.0.0.1/", Address),
        ("https://127.1/", Address),
        ("https://2130706433/", Address),
        ("https://0x7f000001/", Address),
        ("https://0177.0.0.1/", Address),
        ("https://0/", Address),
        ("https://%31%32%37.0.0.1/", Address),
        ("https://１２７.0.0.1/", Address),
        ("https://169.254.169.254/latest/meta-data", Address),
        ("https://168.63.129.16/", Address),
        ("https://[::1]/", Address),
        ("https://[::ffff:10.0.0.1]/", Address),
        ("https://[::ffff:a9fe:a9fe]/", Address),
        ("https://[::]/", Address),
        ("https://[fe80::1]/", Address),
        (long.as_str(), TooLong),
    ] {
        assert_eq!(refusal(&Policy::default(), url), Some(expected), "{url:.80}");
    }
    assert_eq!(refusal(&Policy::default(), &long[..2048]), None, "exactly the limit");
}

#[test]
fn a_host_that_two_readers_could_read_differently_is_refused() {
    for (url, canonical) in [
        ("https://0x08080808/", "8.8.8.8"),
        ("https://010.8.8.8/", "8.8.8.8"),
        ("https://8.8.2056/", "8.8.8.8"),
        ("https://ex%61mple.com/", "example.com"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://ｅxample.com/", "example.com"),
        ("https:///example.com/", "example.com"),
        ("https://@example.com/", "example.com"),
        ("https://[2606:4700:4700:0:0:0:0:1111]/", "[2606:4700:4700::1111]"),
    ] {
        let expected = UrlRefusal::HostForm { canonical: canonical.to_owned() };
        assert_eq!(refusal(&Policy::default(), url), Some(expected), "{url}");
    }
}

#[test]
fn an_opened_network_may_use_http_and_any_port_and_nothing_else_may() {
    let policy = open(&["10.0.0.0/8", "::1/128"]);
    assert_eq!(refusal(&policy, "http://10.0.0.5:9999/v1"), None);
    assert_eq!(refusal(&policy, "http://[::1]:9999/v1"), None);
    assert_eq!(
        refusal(&policy, "http://[::ffff:10.0.0.5]:9999/"),
        Some(UrlRefusal::HostForm { canonical: "[::ffff:a00:5]".to_owned() })
    );
    assert!(refusal(&policy, "http://10.0.0.5.:9999/").is_some());
    assert_eq!(refusal(&policy, "http://11.0.0.5/"), Some(UrlRefusal::Scheme));
    assert_eq!(refusal(&policy, "https://11.0.0.5:9999/"), Some(UrlRefusal::Port));
    assert_eq!(refusal(&policy, "https://192.168.0.1/"), Some(UrlRefusal::Address));
    assert_eq!(refusal(&policy, "http://models.example:9999/"), None, "its addresses decide, when it is called");
    let everywhere = Policy { allow_http: true, ..Policy::default() };
    assert_eq!(refusal(&everywhere, "http://example.com/"), None);
    assert_eq!(refusal(&everywhere, "http://10.0.0.5/"), Some(UrlRefusal::Address));
}

#[test]
fn a_list_of_ports_is_the_whole_list() {
    let policy = Policy { ports: Some(vec![443, 9000]), ..open(&["10.0.0.0/8"]) };
    assert_eq!(refusal(&policy, "https://example.com:9000/"), None);
    assert_eq!(refusal(&policy, "https://10.0.0.5/"), None);
    assert_eq!(refusal(&policy, "https://10.0.0.5:9999/"), Some(UrlRefusal::Port));
    assert_eq!(refusal(&policy, "https://example.com:8443/"), Some(UrlRefusal::Port));
}

#[test]
fn the_server_never_calls_itself() {
    let loopback = open(&["127.0.0.0/8", "0.0.0.0/8", "::/127"]);
    let policy = Policy { own_addresses: vec!["127.0.0.1:8080".parse().unwrap()], ..loopback.clone() };
    assert_eq!(refusal(&policy, "http://127.0.0.1:8080/"), Some(UrlRefusal::Address));
    assert_eq!(refusal(&policy, "http://127.0.0.1:8081/"), None);
    assert_eq!(refusal(&policy, "http://0.0.0.0:8080/"), Some(UrlRefusal::Address), "0.0.0.0 means this machine");
    let policy = Policy { own_addresses: vec!["[::]:8080".parse().unwrap()], ..loopback };
    assert_eq!(refusal(&policy, "http://127.0.0.1:8080/"), Some(UrlRefusal::Address), "bound to every address");
    assert_eq!(refusal(&policy, "http://[::1]:8080/"), Some(UrlRefusal::Address));
    assert_eq!(refusal(&policy, "http://127.0.0.1:8081/"), None);
    let policy = Policy { own_addresses: vec!["8.8.4.4:8443".parse().unwrap()], ..Policy::default() };
    assert_eq!(refusal(&policy, "https://8.8.4.4/"), Some(UrlRefusal::Address), "our public address, another port");
    assert_eq!(refusal(&policy, "https://8.8.8.8/"), None);
}

#[test]
fn database_hosts_stay_closed_inside_an_opened_network() {
    let denied_hosts = ["db.example.com", "Cache.example.com:6379", "10.0.0.7", "10.0.0.8:5432", "[fd00::1]:5432"];
    let denied_hosts = denied_hosts.map(str::to_owned).to_vec();
    let policy = Policy { denied_hosts, ..open(&["10.0.0.0/8", "fd00::/8"]) };
    for url in [
        "https://db.example.com/",
        "https://DB.example.com./",
        "https://cache.example.com:6379/",
        "http://10.0.0.7/",
        "http://10.0.0.7:9999/",
        "http://10.0.0.8:5432/",
        "http://[fd00::1]:5432/",
    ] {
        assert_eq!(refusal(&policy, url), Some(UrlRefusal::Address), "{url}");
    }
    for url in ["https://cache.example.com/", "http://10.0.0.8:9999/", "http://10.0.0.9/", "http://[fd00::1]:9999/"] {
        assert_eq!(refusal(&policy, url), None, "{url}");
    }
}

#[test]
fn what_a_tenant_reads_names_no_address_of_ours() {
    let text = UrlRefusal::Address.to_string();
    assert!(text.ends_with('.') && !text.contains(char::is_numeric), "{text}");
}

#[test]
fn the_names_of_this_server_are_not_called_unless_their_addresses_are_opened() {
    let own_hosts = ["chat.example.com:443", "93.184.215.14:8443"].map(str::to_owned).to_vec();
    let policy = Policy { own_hosts: own_hosts.clone(), ..Policy::default() };
    for refused in
        ["https://chat.example.com/api/webhooks/x", "https://CHAT.example.com./", "https://93.184.215.14:8443/"]
    {
        assert_eq!(policy.check_text(refused).err(), Some(UrlRefusal::Address), "{refused}");
    }
    for fine in ["https://example.com/", "https://chat.example.com:8443/", "https://93.184.215.14/"] {
        assert!(policy.check_text(fine).is_ok(), "{fine}");
    }
    let opened = Policy { own_hosts, ..open(&["10.0.0.0/8"]) };
    let target = opened.check(&"https://chat.example.com/".parse().unwrap()).unwrap();
    assert!(opened.check_address([10, 0, 0, 1].into(), &target).is_ok(), "the operator has opened it");
    assert_eq!(opened.check_address([93, 184, 215, 14].into(), &target), Err(UrlRefusal::Address));
}
