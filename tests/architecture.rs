//! The architecture, held by a test: who may import whom, and what pure modules must not name.
//!
//! [`table`] is the law; this file applies it to every file below `src/` and fails with the
//! offending `file:line` and the rule that it breaks. What `#[cfg(test)]` covers is exempt. The
//! sources are read as tokens, so that a `use` in braces, a fully qualified path and a path inside
//! a macro call are all seen, and comments and strings are not.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read the sources has failed"
)]

#[path = "architecture/mentions.rs"]
mod mentions;
#[path = "architecture/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mentions::{Source, read_source};

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// The module that a file is: `src/manifest/load.rs` is `[manifest, load]`.
fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if module
        .last()
        .is_some_and(|last| last == "mod" || last == "lib")
    {
        module.pop();
    }
    module
}

/// Every breach in `sources`, as `file:line: what is wrong`.
fn breaches(sources: &[Source]) -> Vec<String> {
    let test_modules: BTreeSet<&[String]> = sources
        .iter()
        .flat_map(|source| source.test_modules.iter().map(Vec::as_slice))
        .collect();
    sources
        .iter()
        .filter(|source| {
            !(1..=source.module.len()).any(|n| test_modules.contains(&source.module[..n]))
        })
        .flat_map(|source| {
            source
                .mentions
                .iter()
                .filter_map(|mention| {
                    let why = table::breach(&source.module, mention)?;
                    Some(format!(
                        "src/{}:{}: {why}",
                        source.file.display(),
                        mention.line
                    ))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_sources_keep_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 10, "the sources are not where they should be");
    let sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap();
            read_source(name, module_of(name), &fs::read_to_string(file).unwrap())
        })
        .collect();
    let unknown: Vec<String> = sources
        .iter()
        .filter(|source| !table::knows(&source.module))
        .map(|source| source.file.display().to_string())
        .collect();
    assert!(
        unknown.is_empty(),
        "no rule of tests/architecture/table.rs speaks of: {}",
        unknown.join(", ")
    );
    let breaches = breaches(&sources);
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// What the rules say of one file with this text.
fn judged(file: &str, text: &str) -> Vec<String> {
    let file = Path::new(file);
    breaches(&[read_source(file, module_of(file), text)])
}

#[test]
fn a_wrong_direction_is_told_with_its_line() {
    assert_eq!(
        judged(
            "graph.rs",
            "use std::fmt;\n\nuse crate::supervisor::Loop;\n"
        ),
        [
            "src/graph.rs:3: `graph` may not import `supervisor::Loop`; it may import \
             manifest::model, id, time, cycle, port, catalogue"
        ]
    );
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    for text in [
        "use crate::supervisor::Loop;",
        "use crate::{id::RunId, supervisor::Loop};",
        "use crate::{id, supervisor::{self, Loop}};",
        "use super::supervisor;",
        "pub(crate) use crate::supervisor as s;",
        "fn f() { crate::supervisor::run() }",
        "fn f() { println!(\"{}\", crate::supervisor::NAME) }",
        "mod inner { use super::super::supervisor::Loop; }",
        "type T = Vec<crate::supervisor::Loop>;",
    ] {
        assert!(!judged("graph.rs", text).is_empty(), "not seen: {text}");
    }
}

#[test]
fn impure_names_are_seen_in_every_form() {
    for text in [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "use ::std::net::TcpStream;",
        "use std as s;",
        "use std::*;",
        "use tokio::sync::mpsc;",
        "use nix::unistd::Pid;",
        "use libc;",
        "fn f() { let _ = std::fs::read(\"x\"); }",
        "fn f() { let _ = std::env::var(\"X\"); }",
        "fn f() { let _ = std::process::id(); }",
        "fn f() { let _ = Instant::now(); }",
        "fn f() { let _ = std::time::SystemTime::now(); }",
        "fn f() { let _ = jiff::Timestamp::now(); }",
        "fn f() { format!(\"{:?}\", Instant::now()); }",
    ] {
        assert!(
            !judged("machine/service.rs", text).is_empty(),
            "not seen: {text}"
        );
    }
}

#[test]
fn syscalls_and_unsafe_belong_to_sys() {
    assert!(!judged("supervisor/effects.rs", "fn f() { unsafe { g() } }").is_empty());
    assert!(!judged("supervisor/effects.rs", "use libc::prlimit;").is_empty());
    assert!(
        judged(
            "sys/mark.rs",
            "use libc::prlimit; fn f() { unsafe { g() } }"
        )
        .is_empty()
    );
    assert!(!judged("sys/mark.rs", "use crate::store::Project;").is_empty());
}

#[test]
fn the_yaml_libraries_have_one_front() {
    for text in [
        "use serde_yaml::Value;",
        "fn f() { serde_yaml::from_str::<u8>(\"1\"); }",
        "use saphyr_parser::Event;",
    ] {
        assert!(!judged("render/config.rs", text).is_empty());
        assert!(!judged("manifest/load.rs", text).is_empty());
        assert!(judged("manifest/yaml/value.rs", text).is_empty());
    }
}

#[test]
fn what_is_allowed_passes() {
    let text = "
        //! Talks of std::fs and crate::supervisor in its head only.
        use std::collections::BTreeMap;
        use crate::cycle::find_cycles;
        use crate::manifest::model::{Condition, Manifest};
        // crate::supervisor::Loop
        const TEXT: &str = \"std::fs::read\";
        #[cfg(test)]
        mod tests {
            use crate::supervisor::Loop;
            fn f() { std::fs::read(\"x\"); }
        }
        #[cfg(test)]
        use crate::supervisor::{Loop, Other};
        fn after(map: BTreeMap<u8, Manifest>) {}
    ";
    assert_eq!(judged("graph.rs", text), [""; 0]);
}

#[test]
fn code_after_a_test_module_is_read() {
    let text = "#[cfg(test)]\nmod tests {}\nuse std::fs;\n";
    assert_eq!(judged("graph.rs", text).len(), 1);
}

#[test]
fn files_of_test_modules_are_exempt() {
    let parent = read_source(
        Path::new("machine/mod.rs"),
        vec!["machine".into()],
        "#[cfg(test)]\nmod sim;\nmod service;",
    );
    let bad = "use std::fs;";
    let sim = read_source(
        Path::new("machine/sim.rs"),
        vec!["machine".into(), "sim".into()],
        bad,
    );
    let service = read_source(
        Path::new("machine/service.rs"),
        vec!["machine".into(), "service".into()],
        bad,
    );
    let found = breaches(&[parent, sim, service]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("src/machine/service.rs:1:"));
}

#[test]
fn a_parent_may_hand_on_its_children() {
    assert_eq!(
        judged("manifest/mod.rs", "mod load;\npub use load::load;"),
        [""; 0]
    );
    assert!(!judged("manifest/check/port.rs", "use crate::manifest::load::load;").is_empty());
}
