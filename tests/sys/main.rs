//! Real processes against `baudbot::sys`. Every test ends by proving that nothing it started is
//! left (the [`scene::Scene`] does, when it is dropped).

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

mod identity;
mod process;
mod roles;
mod scene;
mod sweep;
mod tmux;
