use super::*;

fn variables(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn with_file(text: &str) -> (tempfile::TempDir, Flags) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatelaine.toml");
    std::fs::write(&path, text).unwrap();
    (directory, Flags { config: Some(path), ..Flags::default() })
}

fn refusal(flags: &Flags, environment: &Environment) -> String {
    Config::load(flags, environment).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_complete_and_valid() {
    let config = Config::defaults().unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8787");
    assert_eq!((config.public_url, config.database_url.is_none(), config.secret.is_none()), (None, true, true));
    assert_eq!(config.limits.workspace_per_minute, 600);
    assert_eq!(config.log.requests, RequestLogForm::Json);
    assert_eq!(config.keys.prefixes, Prefixes::default());
    assert_eq!(config.tokens.algorithm, Algorithm::Hs256);
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_the_file_and_that_before_presets() {
    let (_directory, mut flags) = with_file("listen = \"127.0.0.1:2\"\nworkers = 2\ndrain_seconds = 2\n");
    let presets: Table = "listen = \"127.0.0.1:1\"\nworkers = 1\ndrain_seconds = 1\ndata = \"one\"".parse().unwrap();
    flags.listen = Some("127.0.0.1:4".into());
    let environment = variables(&[("CHATELAINE_LISTEN", "127.0.0.1:3"), ("CHATELAINE_WORKERS", "3")]);
    let config = Config::load_over(presets, &flags, &environment).unwrap();
    assert_eq!(config.listen.port(), 4);
    assert_eq!((config.workers, config.drain_seconds), (3, 2));
    assert_eq!(config.data, PathBuf::from("one"));
}

#[test]
fn sections_lists_and_short_names_are_read_from_the_environment() {
    let config = Config::load(
        &Flags::default(),
        &variables(&[
            ("CHATELAINE_LIMITS__SESSIONS_PER_MINUTE", "7"),
            ("CHATELAINE_LOG__REQUESTS", "off"),
            ("CHATELAINE_OUTBOUND_ALLOW", "10.0.0.0/8, ::1"),
            ("CHATELAINE_KEYS__PREFIXES__WIDGET", "acme_web_"),
            ("CHATELAINE_TOKENS__ALGORITHM", "EdDSA"),
            ("CHATELAINE_DATABASE_URL", "postgres://u:pass@h/d"),
            ("CHATELAINE_SECRET", "a secret"),
            ("CHATELAINE_PUBLIC_URL", "https://chat.example.com/"),
            ("HOME", "elsewhere"),
        ]),
    )
    .unwrap();
    assert_eq!(config.limits.sessions_per_minute, 7);
    assert_eq!(config.log.requests, RequestLogForm::Off);
    assert_eq!(config.outbound.allow.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    assert_eq!(config.keys.prefixes.widget, "acme_web_");
    assert_eq!(config.tokens.algorithm, Algorithm::EdDsa);
    assert!(config.is_postgres());
    assert_eq!(config.public_url.as_deref(), Some("https://chat.example.com"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("a secret") && !shown.contains("pass"), "{shown}");
}

#[test]
fn an_unknown_name_is_an_error_that_suggests_the_right_one() {
    let (_directory, flags) = with_file("[limits]\nsessions_per_minutes = 3\n");
    let text = refusal(&flags, &Environment::default());
    assert!(text.contains("`limits.sessions_per_minutes`; did you mean `limits.sessions_per_minute`?"), "{text}");
    assert!(text.contains("chatelaine.toml"), "{text}");
    let text = refusal(&Flags::default(), &variables(&[("CHATELAINE_LISTN", "x")]));
    assert!(text.contains("CHATELAINE_LISTN") && text.contains("did you mean `CHATELAINE_LISTEN`?"), "{text}");
    let text = refusal(&Flags::default(), &variables(&[("CHATELAINE_SESSIONS_PER_MINUTE", "1")]));
    assert!(text.contains("`CHATELAINE_LIMITS__SESSIONS_PER_MINUTE`"), "a forgotten section: {text}");
    let text = refusal(&Flags::default(), &variables(&[("CHATELAINE_QQQQ", "1")]));
    assert!(!text.contains("did you mean"), "{text}");
}

#[test]
fn what_kubernetes_and_the_tests_put_into_the_environment_is_no_mistake() {
    let environment = variables(&[
        ("CHATELAINE_SERVICE_HOST", "10.0.0.1"),
        ("CHATELAINE_PORT", "tcp://10.0.0.1:8787"),
        ("CHATELAINE_PORT_8787_TCP_ADDR", "10.0.0.1"),
        ("CHATELAINE_TEST_POSTGRES_URL", "postgres://h/d"),
    ]);
    let config = Config::load(&Flags::default(), &environment).unwrap();
    assert!(!config.is_postgres());
}

#[test]
fn a_wrong_type_or_value_is_named_with_what_is_right() {
    let text = refusal(&Flags::default(), &variables(&[("CHATELAINE_WORKERS", "many")]));
    assert!(text.contains("CHATELAINE_WORKERS") && text.contains("whole number"), "{text}");
    let (_directory, flags) = with_file("workers = \"2\"");
    assert!(refusal(&flags, &Environment::default()).contains("`workers` must be a whole number"));
    for (setting, needle) in [
        ("listen = \"here\"", "127.0.0.1:8787"),
        ("public_url = \"https://a.example/path\"", "no path"),
        ("trusted_proxies = [\"10.0.0.0/99\"]", "10.0.0.0/99"),
        ("[limits]\nworkspace_per_minute = 0", "at least 1"),
        ("[keys.prefixes]\nwidget = \"sk_live_\"", "the same"),
        ("[tokens]\nalgorithm = \"none\"", "EdDSA"),
        ("[tokens]\nsession_seconds = 59", "60 to 86400"),
        ("[tokens]\nsession_seconds = 86401", "60 to 86400"),
        ("[log]\nrequests = \"xml\"", "json"),
        ("data", "line 1"),
    ] {
        let (_directory, flags) = with_file(setting);
        let text = refusal(&flags, &Environment::default());
        assert!(text.contains(needle), "{setting}: {text}");
    }
}

#[test]
fn an_error_in_the_file_does_not_show_the_line_it_is_in() {
    let (_directory, flags) = with_file("workers = 1\ndatabase_url = \"postgres://u:hunter2@h/d\" x");
    let text = refusal(&flags, &Environment::default());
    assert!(text.contains("line 2") && !text.contains("hunter2"), "{text}");
}
