//! The arrows between the rooms, and the libraries that one room alone may hold.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::tree::{assert_none, read, root};

/// What each room may build on. A new room gets a row; a new arrow is a decision (`docs/decisions/`).
const ARROWS: &[(&str, &[&str])] = &[
    ("ambient", &[]),
    ("credential", &["ambient"]),
    ("access", &["ambient", "credential"]),
    ("outbound", &["ambient"]),
    ("workflow", &["ambient"]),
    ("store", &["ambient", "credential", "access"]),
    ("cluster", &["ambient", "credential", "access", "store"]),
    ("chat", &["ambient", "credential", "access", "store", "cluster", "outbound"]),
    ("runs", &["ambient", "credential", "access", "store", "cluster", "chat", "outbound", "workflow"]),
    ("webhook", &["ambient", "credential", "access", "outbound", "store"]),
    ("loops", &["ambient", "credential", "access", "store", "cluster", "chat", "outbound", "runs"]),
    ("contacts", &["ambient", "access", "store"]),
    ("gate", &["ambient", "credential", "access", "store", "cluster"]),
    (
        "api",
        &[
            "ambient",
            "credential",
            "access",
            "workflow",
            "store",
            "cluster",
            "chat",
            "runs",
            "loops",
            "webhook",
            "contacts",
            "gate",
        ],
    ),
    ("dashboard", &["ambient", "credential", "access", "store", "cluster", "chat", "gate", "api"]),
    ("dropin", &["ambient", "credential", "access", "store", "cluster", "chat", "gate", "api"]),
    (
        "participant",
        &["ambient", "credential", "access", "workflow", "store", "cluster", "chat", "runs", "gate", "api"],
    ),
    ("widget", &["ambient", "credential", "access", "store", "cluster", "gate", "api"]),
    (
        "chatelaine",
        &[
            "ambient",
            "credential",
            "access",
            "workflow",
            "outbound",
            "store",
            "cluster",
            "chat",
            "runs",
            "loops",
            "webhook",
            "contacts",
            "gate",
            "api",
            "dashboard",
            "dropin",
            "participant",
            "widget",
        ],
    ),
];

/// Not part of the product: they may look into every room.
const RIGS: &[&str] = &["testkit", "bench"];

/// Libraries that are a room's reason to exist, and who may hold them.
const HOLDERS: &[(&str, &[&str])] = &[
    ("rmcp", &["loops"]),
    ("axum", &["gate", "api", "dashboard", "chatelaine", "testkit", "bench"]),
    ("sqlx", &["store", "testkit"]),
    ("reqwest", &["outbound"]),
    ("redis", &["cluster"]),
    ("fred", &["cluster"]),
    ("tokio-tungstenite", &["gate", "testkit", "bench"]),
];

/// A member and what it builds on outside its tests.
struct Room {
    name: String,
    manifest: String,
    needs: Vec<String>,
}

fn metadata() -> Metadata {
    MetadataCommand::new().current_dir(root()).no_deps().exec().expect("cargo metadata")
}

fn rooms() -> Vec<Room> {
    metadata()
        .workspace_packages()
        .into_iter()
        .map(|package| Room {
            name: package.name.to_string(),
            manifest: std::fs::read_to_string(&package.manifest_path).expect("a member's manifest"),
            needs: package
                .dependencies
                .iter()
                .filter(|needed| needed.kind != DependencyKind::Development)
                .map(|needed| needed.name.clone())
                .collect(),
        })
        .collect()
}

fn row<'table>(table: &'table [(&str, &'table [&'table str])], name: &str) -> Option<&'table [&'table str]> {
    table.iter().find(|(room, _)| *room == name).map(|(_, allowed)| *allowed)
}

fn wrong_arrows(rooms: &[Room]) -> Vec<String> {
    let mut problems = Vec::new();
    for room in rooms.iter().filter(|room| !RIGS.contains(&room.name.as_str())) {
        let Some(allowed) = row(ARROWS, &room.name) else {
            problems.push(format!("{} has no row in ARROWS", room.name));
            continue;
        };
        for needed in room.needs.iter().filter(|needed| rooms.iter().any(|other| other.name == **needed)) {
            if !allowed.contains(&needed.as_str()) {
                problems.push(format!("{} → {needed}", room.name));
            }
        }
    }
    problems
}

fn wrong_holders(rooms: &[Room]) -> Vec<String> {
    let mut problems = Vec::new();
    for room in rooms {
        for needed in &room.needs {
            let family = needed.split('-').next().unwrap_or(needed);
            let holders = row(HOLDERS, needed).or_else(|| row(HOLDERS, family));
            if holders.is_some_and(|holders| !holders.contains(&room.name.as_str())) {
                problems.push(format!("{} has {needed}", room.name));
            }
        }
    }
    problems
}

/// The lines of `[workspace.dependencies]` that name a crate from outside, as name and line.
fn shared_dependencies(manifest: &str) -> Vec<(String, String)> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#') && !line.contains("path = "))
        .filter_map(|line| line.split_once('=').map(|(name, _)| (name.trim().to_owned(), line.to_owned())))
        .collect()
}

fn without_purpose(manifest: &str) -> Vec<String> {
    shared_dependencies(manifest)
        .into_iter()
        .filter(|(_, line)| line.rsplit_once(" # ").is_none_or(|(_, purpose)| purpose.trim().len() < 3))
        .map(|(name, _)| name)
        .collect()
}

fn without_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines.next() != Some("workspace = true")
}

#[test]
fn arrows_between_rooms_run_one_way() {
    assert_none(&wrong_arrows(&rooms()), "An arrow that design does not draw. Move the code down, or pass a value in:");
}

#[test]
fn a_library_stays_in_its_room() {
    assert_none(&wrong_holders(&rooms()), "A library outside its room. Call the room that holds it:");
}

#[test]
fn every_shared_dependency_says_what_it_is_for() {
    let manifest = read("Cargo.toml");
    assert!(shared_dependencies(&manifest).len() > 20, "the section [workspace.dependencies] was not found");
    assert_none(&without_purpose(&manifest), "Say in Cargo.toml, behind a #, what the crate is for:");
}

#[test]
fn every_shared_dependency_is_used() {
    let metadata = metadata();
    let used = |name: &str| {
        metadata
            .packages
            .iter()
            .flat_map(|package| &package.dependencies)
            .any(|needed| needed.name == name || needed.rename.as_deref() == Some(name))
    };
    let unused: Vec<String> =
        shared_dependencies(&read("Cargo.toml")).into_iter().map(|(name, _)| name).filter(|name| !used(name)).collect();
    assert_none(&unused, "No member uses it. Take the line out of [workspace.dependencies]:");
}

#[test]
fn every_member_has_the_lints_and_unsafe_code_is_forbidden() {
    assert!(
        read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"),
        "[workspace.lints.rust] must forbid unsafe_code"
    );
    let bare: Vec<String> =
        rooms().into_iter().filter(|room| without_lints(&room.manifest)).map(|room| room.name).collect();
    assert_none(&bare, "Write `[lints]` and `workspace = true` into the manifest of:");
}

#[test]
fn a_planted_wrong_arrow_holder_or_manifest_is_found() {
    let room = |name: &str, needs: &[&str]| Room {
        name: name.to_owned(),
        manifest: String::new(),
        needs: needs.iter().map(|&needed| needed.to_owned()).collect(),
    };
    let rooms = [
        room("access", &["store", "serde"]),
        room("store", &["access", "axum-extra"]),
        room("attic", &[]),
        room("bench", &["attic", "reqwest"]),
        room("outbound", &["tokio", "tokio-tungstenite"]),
    ];
    assert_eq!(wrong_arrows(&rooms), ["access → store", "attic has no row in ARROWS"]);
    assert_eq!(wrong_holders(&rooms), ["store has axum-extra", "bench has reqwest", "outbound has tokio-tungstenite"]);
    let manifest = "[workspace.dependencies]\nroom = { path = \"x\" }\na = \"1\" # for this\nb = { version = \"1\" }\n[lints]\nc = \"1\"";
    assert_eq!(without_purpose(manifest), ["b"]);
    assert!(without_lints("[lints]\nrust.x = \"warn\""));
    assert!(without_lints("[dependencies]"));
    assert!(!without_lints("[lints]\nworkspace = true"));
}
