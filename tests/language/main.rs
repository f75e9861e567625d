//! The keys of the manifest's language with real processes, a module for each.

mod depends;
mod exports;
mod health;
mod hooks;
mod identity;
mod notify;
mod preflight;
#[path = "../scene/mod.rs"]
mod scene;
mod templates;
mod when;
mod words;

/// A service that ends well on TERM.
const STEADY: &str =
    r#"[sh, -c, "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"]"#;
