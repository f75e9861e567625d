//! The law: for every module its allowed imports and whether it is pure.

use super::mentions::Mention;

/// What a module may name of the world outside this crate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    /// Nothing that does or asks anything: no runtime, no system, no clock.
    Pure,
    /// Anything but raw system calls.
    Shell,
    /// Raw system calls and `unsafe` too.
    System,
}

/// One row. The row with the longest matching module is the one that counts.
struct Row {
    module: &'static str,
    may_import: &'static [&'static str],
    world: World,
}

/// What every module may import.
const COMMON: &[&str] = &["id", "time", "cycle", "port", "catalogue"];

const fn row(module: &'static str, world: World, may_import: &'static [&'static str]) -> Row {
    Row {
        module,
        may_import,
        world,
    }
}

/// The table of ARCHITECTURE.md. `machine` and `plan` name each other's types: they are two sides of
/// one seam. `lib.rs` is the empty module; it only declares.
const TABLE: &[Row] = &[
    row("", World::Pure, &[]),
    row(
        "main",
        World::Shell,
        &["cli", "exit", "guardian", "selftest", "sys::pane"],
    ),
    // The command line.
    row(
        "cli",
        World::Shell,
        &[
            "render",
            "ui",
            "doctor",
            "exit",
            "control",
            "store",
            "manifest",
            "graph",
            "plan",
            "machine",
            "log_reader",
            "log_format",
            "supervisor",
            "event",
            "story",
            "event_log",
            "layers",
            "selftest",
            "sys",
        ],
    ),
    row(
        "render",
        World::Shell,
        &[
            "exit",
            "event",
            "story",
            "layers",
            "doctor",
            "control::protocol",
            "manifest",
            "graph",
            "plan",
            "machine",
            "layers",
            "selftest::report",
            "log_format",
            "log_reader",
        ],
    ),
    // The screen of `ui`, without its terminal.
    row(
        "ui",
        World::Pure,
        &["control::protocol", "machine", "render"],
    ),
    row("exit", World::Pure, &[]),
    // What this host can do.
    row("doctor", World::Pure, &["layers", "doctor"]),
    row(
        "doctor::gather",
        World::Shell,
        &["doctor", "supervisor", "store", "sys", "manifest"],
    ),
    // Logs.
    row("log_format", World::Pure, &[]),
    row("log_reader", World::Shell, &["log_format", "sys"]),
    // The supervisor and how one talks to it.
    row(
        "supervisor",
        World::Shell,
        &[
            "control",
            "layers",
            "store",
            "layers",
            "sys",
            "manifest",
            "graph",
            "plan",
            "machine",
            "record",
            "log_format",
            "exit",
            "guardian",
            "event",
            "event_log",
        ],
    ),
    row(
        "guardian",
        World::Shell,
        &[
            "control::handshake",
            "store",
            "record",
            "event",
            "event_log",
            "manifest::model",
            "sys",
        ],
    ),
    row(
        "control",
        World::Shell,
        &[
            "control",
            "plan",
            "log_reader",
            "store",
            "guardian",
            "event",
            "sys",
        ],
    ),
    row(
        "control::protocol",
        World::Pure,
        &["event", "machine", "plan", "layers", "manifest::model"],
    ),
    row("store", World::Shell, &["record", "manifest::model", "sys"]),
    // The self-test.
    row(
        "selftest",
        World::Shell,
        &["layers", "selftest::report", "sys"],
    ),
    row("selftest::report", World::Pure, &["layers"]),
    // The pure heart.
    row("event", World::Pure, &["machine", "plan"]),
    row(
        "story",
        World::Pure,
        &["control::protocol", "event", "machine", "manifest::model"],
    ),
    row("event_log", World::Shell, &["event", "machine"]),
    row("record", World::Pure, &["manifest::model", "machine"]),
    row(
        "machine",
        World::Pure,
        &[
            "graph",
            "plan",
            "change",
            "manifest::model",
            "manifest::reference",
        ],
    ),
    row(
        "plan",
        World::Pure,
        &[
            "graph",
            "machine",
            "change",
            "manifest::model",
            "manifest::reference",
        ],
    ),
    row("graph", World::Pure, &["manifest::model"]),
    row("change", World::Pure, &["manifest::model"]),
    row("manifest", World::Pure, &[]),
    row("manifest::load", World::Shell, &["manifest"]),
    row("id", World::Pure, &[]),
    row("time", World::Pure, &[]),
    row("cycle", World::Pure, &[]),
    row("port", World::Pure, &[]),
    row("layers", World::Pure, &[]),
    row("catalogue", World::Pure, &[]),
    // The operating system.
    row("sys", World::System, &["layers"]),
];

/// What a pure module names nowhere.
const IMPURE: &[&str] = &[
    "tokio",
    "nix",
    "libc",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "std::os::unix::net",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
];

/// The clocks that a pure module does not read.
const CLOCKS: &[&str] = &["Instant", "SystemTime", "Timestamp", "Zoned"];

/// Libraries that one module stands in front of.
const BEHIND: &[(&str, &str)] = &[
    ("serde_yaml", "manifest::yaml"),
    ("saphyr_parser", "manifest::yaml"),
];

/// Whether `path` is `prefix` or lies below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with("::"))
}

fn row_of(module: &str) -> Option<&'static Row> {
    TABLE
        .iter()
        .filter(|row| is_below(module, row.module))
        .max_by_key(|row| row.module.len())
}

/// Whether a row other than that of `lib.rs` speaks of this module.
pub(crate) fn knows(module: &[String]) -> bool {
    module.is_empty() || row_of(&module.join("::")).is_some_and(|row| !row.module.is_empty())
}

/// What is wrong with this mention in this module.
pub(crate) fn breach(module: &[String], mention: &Mention) -> Option<String> {
    let row = row_of(&module.join("::"))?;
    let path = mention.path.join("::");
    if mention.is_internal {
        direction_breach(row, module, mention, &path)
    } else {
        outside_breach(row, module, mention, &path)
    }
}

fn direction_breach(row: &Row, module: &[String], mention: &Mention, path: &str) -> Option<String> {
    // A parent declares and hands on what its children hold.
    let is_own_child = mention.path.len() > module.len() && mention.path.starts_with(module);
    if is_own_child || module.is_empty() || mention.path.is_empty() {
        return None;
    }
    let target = row_of(path).filter(|target| !target.module.is_empty())?;
    let is_allowed = target.module == row.module
        || COMMON.contains(&target.module)
        || row.may_import.iter().any(|allowed| is_below(path, allowed))
        // Within one area the narrower row is still part of it, seen from inside that row.
        || (is_below(row.module, target.module) && target.world == World::Pure);
    if is_allowed {
        return None;
    }
    let allowed: Vec<&str> = row.may_import.iter().chain(COMMON).copied().collect();
    Some(format!(
        "`{}` may not import `{path}`; it may import {}",
        row.module,
        allowed.join(", ")
    ))
}

fn outside_breach(row: &Row, module: &[String], mention: &Mention, path: &str) -> Option<String> {
    if row.world != World::System && (path == "unsafe" || is_below(path, "libc")) {
        return Some(format!("only `sys` names `{path}`"));
    }
    let behind = BEHIND
        .iter()
        .find(|(name, front)| is_below(path, name) && !is_below(&module.join("::"), front));
    if let Some((name, front)) = behind {
        return Some(format!("only `{front}` names `{name}`"));
    }
    if row.world != World::Pure {
        return None;
    }
    if path == "std::*" || (path == "std" && mention.path.len() == 1) {
        return Some(format!(
            "`{}` is pure and names `std` as a whole, which hides what it uses",
            row.module
        ));
    }
    let reads_clock = mention
        .path
        .windows(2)
        .any(|pair| pair[1] == "now" && CLOCKS.contains(&pair[0].as_str()));
    let is_impure = reads_clock || IMPURE.iter().any(|name| is_below(path, name));
    is_impure.then(|| format!("`{}` is pure and names `{path}`", row.module))
}
