//! Where no mark can be set, services run all the same, and the other layers do the work.

use std::fs;
use std::process::Stdio;

use baudbot::selftest::{Phase, Trick, manifest, members};
use baudbot::sys::identity::Identity;
use baudbot::sys::mark::read_mark;

use crate::scene::{PROJECT, Scene, finish};

/// Brings these tricks up as services where the limit of file locks is too low for any mark.
fn up(tricks: &[&str]) -> (Scene, Vec<Identity>) {
    let scene = Scene::bare();
    let stage = scene.path("stage");
    let tricks: Vec<&Trick> = tricks
        .iter()
        .map(|name| Trick::named(name).unwrap())
        .collect();
    for trick in &tricks {
        fs::create_dir_all(stage.join(trick.name)).unwrap();
    }
    let mut manifest = manifest(
        scene.executable(),
        &stage,
        Phase::Stop,
        tricks.iter().copied(),
    );
    manifest["project"] = PROJECT.into();
    fs::write(scene.path("baudbot.yaml"), manifest.to_string()).unwrap();
    let mut command = scene.program("prlimit");
    command
        .arg("--locks=1000:1000")
        .arg(scene.executable())
        .arg("up");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap()).success();
    let all = tricks
        .iter()
        .flat_map(|trick| members(&stage.join(trick.name)).unwrap());
    let all: Vec<Identity> = all.collect();
    for one in &all {
        assert!(one.is_alive());
        assert_eq!(read_mark(one.pid).unwrap(), None);
    }
    (scene, all)
}

/// Whoever left the session is known as a child until its parent hears the stop signal. It is
/// remembered.
#[test]
fn a_stop_takes_along_who_left_the_session_of_a_living_parent() {
    let (scene, all) = up(&["session", "stopped", "groups", "child"]);
    scene
        .run(["stop", "session", "stopped", "groups"])
        .success();
    scene.expect_state("child", "ready");
    let alive = all.iter().filter(|one| one.is_alive()).count();
    assert_eq!(alive, 2, "only the child and its parent");
    scene.end();
}

/// After a kill -9 too: descent is looked at before anybody is asked to end.
#[test]
fn a_killed_supervisor_s_successor_finds_the_descendants_of_the_living() {
    let (scene, all) = up(&["session", "stopped", "groups", "child"]);
    scene.kill_supervisor();
    scene.run(["down"]).success();
    assert!(!all.iter().any(Identity::is_alive));
    scene.end();
}

/// A daemon left everything. It came to the supervisor, and goes with the project.
#[test]
fn what_was_orphaned_goes_with_the_project() {
    let (scene, all) = up(&["daemon", "closed", "renamed"]);
    scene.run(["down"]).success();
    assert!(!all.iter().any(Identity::is_alive));
    scene.end();
}
