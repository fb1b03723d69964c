use crate::config::{Config, ConfigError, CorsOrigin, Environment, Flags};

const WIDGET: &str = "a-widget-key-of-thirty-two-characters";
const ADMIN: &str = "an-admin-key-of-thirty-two-characters";

fn load_with(flags: &Flags, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load_for_serving(flags, &Environment::from_pairs(pairs))
}

fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_with(&Flags::default(), pairs)
}

fn refusal(pairs: &[(&str, &str)]) -> String {
    load(pairs).unwrap_err().to_string()
}

#[test]
fn the_originals_names_are_read_and_ours_go_before_them() {
    let pairs = [
        ("WIDGET_API_KEY", WIDGET),
        ("ADMIN_API_KEY", ADMIN),
        ("CORS_ORIGIN", " https://Example.com/ ,http://localhost:3000,"),
        ("OPENAI_API_KEY", "sk-openai"),
        ("OPENAI_MODEL", "m"),
        ("OPENAI_BASE_URL", "https://models.example/v1"),
        ("MAX_HISTORY_MESSAGES", "7"),
        ("RATE_LIMIT_WINDOW_MS", "5000"),
        ("RATE_LIMIT_MAX_REQUESTS", "9"),
        ("CHATELAINE_DROPIN__MAX_HISTORY_MESSAGES", "8"),
    ];
    let config = load(&pairs).unwrap();
    let dropin = &config.dropin;
    assert_eq!(dropin.widget_api_key.as_ref().unwrap().expose(), WIDGET);
    assert_eq!(dropin.admin_api_key.as_ref().unwrap().expose(), ADMIN);
    let listed = ["https://example.com", "http://localhost:3000"].map(str::to_owned).to_vec();
    assert_eq!(dropin.cors_origin, CorsOrigin::Listed(listed));
    assert_eq!((dropin.openai_model.as_str(), dropin.openai_base_url.as_str()), ("m", "https://models.example/v1"));
    assert_eq!(
        (dropin.max_history_messages, dropin.rate_limit_window_ms, dropin.rate_limit_max_requests),
        (8, 5000, 9)
    );
    assert_eq!(dropin.warnings(), Vec::<String>::new());
    let shown = format!("{config:?}");
    assert!(!shown.contains(WIDGET) && !shown.contains(ADMIN) && !shown.contains("sk-openai"), "{shown}");
}

#[test]
fn the_originals_names_count_for_serve_alone() {
    let pairs = [("WIDGET_API_KEY", "short"), ("PORT", "4000"), ("MAX_HISTORY_MESSAGES", "many")];
    let environment = Environment::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let config = Config::load(&Flags::default(), &environment).unwrap();
    assert!(config.dropin.widget_api_key.is_none() && config.listen.port() == 8787);
}

#[test]
fn without_a_widget_key_the_rest_is_ignored_with_one_line() {
    let config = load(&[("OPENAI_API_KEY", "sk-x"), ("CORS_ORIGIN", "nonsense"), ("MAX_HISTORY_MESSAGES", "many")]);
    let dropin = config.unwrap().dropin;
    assert!(dropin.openai_api_key.is_none() && dropin.cors_origin == CorsOrigin::Any);
    let [line] = &dropin.warnings()[..] else { panic!("{:?}", dropin.warnings()) };
    assert!(line.contains("OPENAI_API_KEY") && line.contains("CORS_ORIGIN") && !line.contains("sk-x"), "{line}");
    assert!(load(&[]).unwrap().dropin.warnings().is_empty());
}

#[test]
fn a_widget_key_of_the_file_lets_the_originals_names_count() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatelaine.toml");
    std::fs::write(&path, format!("[dropin]\nwidget_api_key = \"{WIDGET}\"\nmax_history_messages = 3")).unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    let dropin = load_with(&flags, &[("OPENAI_MODEL", "m"), ("MAX_HISTORY_MESSAGES", "4")]).unwrap().dropin;
    assert_eq!((dropin.openai_model.as_str(), dropin.max_history_messages), ("m", 4), "the environment goes before");
}

#[test]
fn a_key_that_is_no_secret_is_refused_by_its_name() {
    for (pairs, needle) in [
        (vec![("WIDGET_API_KEY", "only-twenty-three-chars")], "WIDGET_API_KEY must have at least 24"),
        (vec![("WIDGET_API_KEY", WIDGET), ("ADMIN_API_KEY", "short")], "ADMIN_API_KEY must have at least 24"),
        (vec![("WIDGET_API_KEY", WIDGET), ("ADMIN_API_KEY", WIDGET)], "must differ"),
        (vec![("WIDGET_API_KEY", "tk_widget_0123456789012345678901234567")], "must not begin with tk_widget_"),
        (vec![("WIDGET_API_KEY", "sk_live_0123456789012345678901234567")], "must not begin with sk_live_"),
        (vec![("WIDGET_API_KEY", WIDGET), ("ADMIN_API_KEY", "cf_0123456789012345678901234567")], "ADMIN_API_KEY"),
        (vec![("WIDGET_API_KEY", WIDGET), ("NODE_ENV", "production")], "CORS_ORIGIN must list"),
        (vec![("WIDGET_API_KEY", WIDGET), ("NODE_ENV", "production"), ("CORS_ORIGIN", "https://a.example,*")], "list"),
        (vec![("CHATELAINE_DROPIN__WIDGET_API_KEY", " a-key-with-a-blank-in-front-of-it\u{1}")], "control"),
    ] {
        let text = refusal(&pairs);
        assert!(text.contains(needle), "{pairs:?}: {text}");
        assert!(pairs.iter().all(|(name, value)| !name.contains("KEY") || !text.contains(value)), "{text}");
    }
    let listed = [("WIDGET_API_KEY", WIDGET), ("NODE_ENV", "production"), ("CORS_ORIGIN", "https://a.example")];
    assert!(load(&listed).is_ok());
    assert!(load(&[("WIDGET_API_KEY", "exactly-twenty-four-char")]).is_ok());
}

#[test]
fn a_key_that_can_be_guessed_and_an_open_door_are_said_once() {
    let warned = |pairs: &[(&str, &str)]| load(pairs).unwrap().dropin.warnings().join("\n");
    assert!(warned(&[("WIDGET_API_KEY", "exactly-twenty-four-char")]).contains("WIDGET_API_KEY can be guessed"));
    let same = "a".repeat(64);
    assert!(warned(&[("WIDGET_API_KEY", WIDGET), ("ADMIN_API_KEY", &same)]).contains("ADMIN_API_KEY can be guessed"));
    assert!(warned(&[("WIDGET_API_KEY", WIDGET)]).contains("CORS_ORIGIN is `*`"));
}

#[test]
fn an_entry_that_is_no_origin_is_refused_with_a_sentence() {
    for entry in [
        "example.com",
        "https://a.example/path",
        "https://a.example?x",
        "https://u:p@a.example",
        "null",
        "ftp://a.example",
    ] {
        let text = refusal(&[("WIDGET_API_KEY", WIDGET), ("CORS_ORIGIN", entry)]);
        assert!(text.contains("is not an origin such as"), "{entry}: {text}");
    }
}

#[test]
fn numbers_are_positive_and_whole() {
    for (name, value) in [
        ("MAX_HISTORY_MESSAGES", "0"),
        ("RATE_LIMIT_WINDOW_MS", "0"),
        ("RATE_LIMIT_MAX_REQUESTS", "0"),
        ("RATE_LIMIT_MAX_REQUESTS", "-1"),
        ("RATE_LIMIT_MAX_REQUESTS", "1.5"),
        ("RATE_LIMIT_MAX_REQUESTS", "many"),
    ] {
        let text = refusal(&[("WIDGET_API_KEY", WIDGET), (name, value)]);
        assert!(text.to_ascii_uppercase().contains(name), "{name}={value}: {text}");
    }
}

#[test]
fn a_port_alone_is_every_address_and_goes_after_every_listen() {
    assert_eq!(load(&[("PORT", "4000")]).unwrap().listen.to_string(), "0.0.0.0:4000");
    assert_eq!(load(&[("PORT", "x"), ("CHATELAINE_LISTEN", "127.0.0.1:1")]).unwrap().listen.port(), 1);
    let flags = Flags { listen: Some("127.0.0.1:2".to_owned()), ..Flags::default() };
    assert_eq!(load_with(&flags, &[("PORT", "4000")]).unwrap().listen.port(), 2);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatelaine.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:3\"").unwrap();
    let flags = Flags { config: Some(path), ..Flags::default() };
    assert_eq!(load_with(&flags, &[("PORT", "4000")]).unwrap().listen.port(), 3);
    for port in ["0", "65536", "tcp://10.0.0.1:80", "-1"] {
        assert!(refusal(&[("PORT", port)]).contains("PORT must be a port number"), "{port}");
    }
}
