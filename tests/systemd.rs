//! `up --foreground` as a unit of a real `systemd --user` manager.
//!
//! Where no manager can be started (no root, no systemd, a sandbox without cgroups) the tests say
//! so and have nothing to tell; what a manager hears is tested in `faults/service_manager.rs`, too.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

fn run(script: &str, more: &[&str]) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd");
    let output = Command::new("bash")
        .arg(scripts.join("user-manager.sh"))
        .arg("bash")
        .arg(scripts.join(script))
        .arg(env!("CARGO_BIN_EXE_baudbot"))
        .args(more)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(125) => eprintln!("skipped: {}", stderr.trim()),
        _ => panic!("{}\n{stderr}", String::from_utf8_lossy(&output.stdout)),
    }
}

#[test]
fn a_unit_of_type_exec_starts_tells_its_state_and_leaves_an_empty_cgroup() {
    run("unit.sh", &["exec"]);
}

#[test]
fn a_unit_of_type_notify_is_started_when_its_services_are_ready() {
    run("unit.sh", &["notify"]);
}

#[test]
fn a_unit_is_given_the_time_that_its_services_take() {
    run("slow.sh", &[]);
}
