//! baudbot: runs the services that one manifest declares on one Linux host.

pub mod catalogue;
pub mod change;
pub mod cli;
pub mod control;
pub mod cycle;
pub mod doctor;
pub mod event;
pub mod event_log;
pub mod exit;
pub mod graph;
pub mod guardian;
pub mod id;
pub mod layers;
pub mod log_format;
pub mod log_reader;
pub mod machine;
pub mod manifest;
pub mod plan;
pub mod port;
pub mod record;
pub mod render;
pub mod selftest;
pub mod store;
pub mod story;
pub mod supervisor;
pub mod sys;
pub mod time;
pub mod ui;

/// So that what the tests in `tests/` share can be shared with those beside the code.
#[cfg(test)]
extern crate self as baudbot;

#[cfg(test)]
#[path = "../tests/simulation/declare.rs"]
mod declare;
