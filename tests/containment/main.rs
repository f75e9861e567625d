//! Nothing escapes: the tricks, the self-test that plays them, and who must never be touched.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

#[path = "../scene/mod.rs"]
mod scene;

mod halfway;
mod selftest;
mod strangers;
mod tricks;
mod unmarked;
