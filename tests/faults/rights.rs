//! A file that another user can change does not decide what root runs.
//!
//! Only root can play both users, so an ordinary user's run of these tests leaves them out.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};

use crate::scene::Scene;

const WITH_ENV_FILE: &str = "services: {a: {command: [sleep, '1000'], env_files: [e.env]}}";

/// An ordinary user that has no files on the machine.
const OTHER: u32 = 65534;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn root_refuses_an_env_file_that_every_user_can_write_to() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(WITH_ENV_FILE);
    let file = scene.path("e.env");
    fs::write(&file, "A=1\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    for command in ["validate", "up"] {
        let outcome = scene.run([command]).code(78);
        let said = outcome.stdout + &outcome.stderr;
        assert!(said.contains("every user can write to"), "{said}");
        assert!(said.contains("chmod go-w"), "{said}");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    scene.run(["up"]).success();
    scene.end();
}

#[test]
fn root_refuses_an_env_file_and_a_manifest_of_another_user() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(WITH_ENV_FILE);
    let file = scene.path("e.env");
    fs::write(&file, "A=1\n").unwrap();
    chown(&file, Some(OTHER), None).unwrap();
    let outcome = scene.run(["up"]).code(5);
    let reason = scene.service("a")["reason"].to_string();
    assert!(
        reason.contains("user 65534 owns"),
        "{reason} {}",
        outcome.stderr
    );
    scene.run(["down"]).success();
    chown(&file, Some(0), None).unwrap();
    let manifest = scene.path("baudbot.yaml");
    chown(&manifest, Some(OTHER), None).unwrap();
    let outcome = scene.run(["up"]).code(78);
    assert!(
        outcome.stderr.contains("user 65534 owns"),
        "{}",
        outcome.stderr
    );
    chown(&manifest, Some(0), None).unwrap();
    scene.run(["up"]).success();
    scene.end();
}

#[test]
fn an_env_file_may_belong_to_the_user_that_the_service_runs_as() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(
        "services: {a: {command: [sleep, '1000'], env_files: [e.env], user: nobody, working_dir: /}}",
    );
    fs::set_permissions(scene.root(), Permissions::from_mode(0o711)).unwrap();
    let file = scene.path("e.env");
    fs::write(&file, "A=1\n").unwrap();
    chown(&file, Some(OTHER), None).unwrap();
    scene.run(["up"]).success();
    scene.end();
}
