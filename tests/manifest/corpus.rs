//! Good and bad manifests, held against the parser and against the JSON Schema: the two agree.
//!
//! A bad one says in its first line what is expected of the parser, each mistake with its place:
//! `# expect: CODE [FILE:]LINE:COLUMN, …`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use baudbot::manifest::{Loaded, schema};

use crate::scene;

/// What no schema can say: rules about what one value means beside another, about what is found on
/// this host, and about the inside of texts.
const RULES_NO_SCHEMA_CAN_SAY: &[&str] = &[
    // Names that point at something.
    "unknown_dependency",
    "unknown_group",
    "self_dependency",
    "dependency_cycle",
    "completed_without_task",
    "conflicting_conditions",
    // One value beside another.
    "declared_twice",
    "not_in_include",
    "cleanup_clash",
    "session_clash",
    "port_clash",
    "session_without_tmux",
    "legacy_session_in_use",
    "foreign_session",
    "prefix_misses_session",
    "prefix_without_tmux",
    "missing_prefix",
    "pgid_on_tmux",
    "task_restarts_always",
    "ready_on_task",
    "after_ready_on_task",
    "limit_over_hard",
    "health_on_task",
    "not_with_watchdog",
    "exports_on_task",
    "export_before_ready",
    "unknown_export",
    "delay_over_maximum",
    "set_and_unset",
    "impossible_when",
    "reserved_variable",
    // What is found where the order is given.
    "include_not_found",
    "include_cycle",
    "not_a_file",
    // The inside of texts.
    "bad_expansion",
    "no_exports",
    "value_in_script",
    "bad_pattern",
    "bad_path",
    "bad_tmux_server",
    "nul_character",
];

/// Manifests with a mistake of a kind that a schema can find, but not in this form.
const FORMS_NO_SCHEMA_CAN_SAY: &[&str] = &[
    // Digits of a decimal number cannot be looked at.
    "bad-umask-digits",
    // Durations cannot be compared.
    "duration-out-of-range",
    // Texts are looked at once they are expanded.
    "bad-port-after-expansion",
    // No pattern knows every way to write an address.
    "bad-owned-hosts",
    // A pattern for the whole of a URL would help nobody.
    "bad-url-port",
];

/// A document that is not YAML as we take it has no value that could be held against a schema.
const NOT_A_DOCUMENT: &[&str] = &[
    "syntax",
    "several_documents",
    "duplicate_key",
    "bad_key",
    "bad_merge",
    "unknown_tag",
    "recursive_alias",
    "unknown_alias",
    "empty_manifest",
];

fn corpus(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn name(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

fn is_valid_by_schema(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let document =
        schema::document(&text).unwrap_or_else(|| panic!("{} is not a document", file.display()));
    VALIDATOR.is_valid(&document)
}

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&schema()).unwrap());

/// `CODE LINE:COLUMN` of each diagnostic; places in other files with their names.
fn found(loaded: &Loaded, file: &Path) -> Vec<String> {
    loaded
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let label = diagnostic.labels.first();
            let place = label.map(|label| {
                let place = loaded.sources.place(label.span);
                let path = loaded.sources.path(label.span.file);
                let prefix = if path == file {
                    String::new()
                } else {
                    format!("files/{}:", path.file_name().unwrap().to_str().unwrap())
                };
                format!(" {prefix}{}:{}", place.line, place.column)
            });
            format!("{}{}", diagnostic.code, place.unwrap_or_default())
        })
        .collect()
}

#[test]
fn good_manifests_are_good_by_parser_and_schema() {
    for file in corpus("good") {
        let loaded = scene::load(&file);
        assert!(
            loaded.manifest.is_some() && loaded.diagnostics.is_empty(),
            "{}: {:#?}",
            file.display(),
            loaded.diagnostics
        );
        assert!(is_valid_by_schema(&file), "{} by schema", file.display());
    }
}

#[test]
fn bad_manifests_are_told_what_is_wrong_and_where() {
    expect_what_they_say("bad", |loaded| loaded.manifest.is_none());
}

#[test]
fn what_the_host_lacks_is_told_and_keeps_only_those_from_starting_that_need_it() {
    expect_what_they_say("lacking", |loaded| {
        let services = |loaded: &Loaded| loaded.manifest.clone().map(|one| one.services);
        services(loaded).is_some_and(|all| all.values().all(|one| !one.missing.is_empty()))
    });
    for file in corpus("lacking") {
        assert!(is_valid_by_schema(&file), "{} by schema", file.display());
    }
}

fn expect_what_they_say(kind: &str, is_as_it_should: impl Fn(&Loaded) -> bool) {
    let mut wrong = Vec::new();
    for file in corpus(kind) {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# expect: "))
            .unwrap_or_else(|| panic!("{} expects nothing", file.display()))
            .split(", ")
            .collect();
        let loaded = scene::load(&file);
        assert!(is_as_it_should(&loaded), "{}", file.display());
        let found = found(&loaded, &file);
        if found != expected {
            wrong.push(format!(
                "{}\n  expected {expected:?}\n  found    {found:?}",
                name(&file)
            ));
        }
        for diagnostic in &loaded.diagnostics {
            assert!(diagnostic.help.is_some(), "{diagnostic:?}");
            assert!(!diagnostic.labels.is_empty(), "{diagnostic:?}");
            scene::assert_style(diagnostic);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn parser_and_schema_agree_on_bad_manifests() {
    let mut unused: BTreeSet<&str> = RULES_NO_SCHEMA_CAN_SAY.iter().copied().collect();
    for file in corpus("bad") {
        let loaded = scene::load(&file);
        let codes: BTreeSet<&str> = loaded
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .map(|diagnostic| diagnostic.code)
            .collect();
        if codes.iter().any(|code| NOT_A_DOCUMENT.contains(code)) {
            continue;
        }
        let is_beyond_schema = codes
            .iter()
            .all(|code| RULES_NO_SCHEMA_CAN_SAY.contains(code))
            || FORMS_NO_SCHEMA_CAN_SAY.contains(&name(&file));
        assert_eq!(
            is_valid_by_schema(&file),
            is_beyond_schema,
            "{} has {codes:?}",
            file.display()
        );
        for code in &codes {
            unused.remove(code);
        }
    }
    assert!(unused.is_empty(), "no manifest shows {unused:?}");
}
