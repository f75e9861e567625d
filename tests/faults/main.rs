//! What went wrong in ordinary and hostile use, each kind with the input that showed it: a module
//! for each promise that was broken.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../scene/mod.rs"]
mod scene;

mod advice;
mod bounded;
mod braked;
mod by_name;
mod controls;
mod durations;
mod ends;
mod expansion;
mod following;
mod foreign;
mod half_configured;
mod kept;
mod listeners;
mod lost_files;
mod orphans;
mod other_checkout;
mod overtaken;
mod patterns;
mod paused;
mod rights;
mod says;
mod scripts;
mod service_manager;
mod sessions;
mod settling;
mod small;
mod survivors;
mod unseen;
mod yaml;
