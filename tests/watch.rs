//! `up --watch` with real edits: applied as they are saved, refused when they are broken.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scene;

use std::fs;
use std::process::Child;

use scene::{Scene, finish, kill, wait_until};

/// Starts `up --watch`; what it says goes to a file.
fn watch(scene: &Scene) -> Child {
    let said = fs::File::create(scene.path("said")).unwrap();
    scene
        .command(["up", "--watch"])
        .stderr(said)
        .spawn()
        .unwrap()
}

/// Waits until it watches for the `times`th time, and returns what it has said since the last time.
#[track_caller]
fn watching(scene: &Scene, times: usize) -> String {
    let said = || fs::read_to_string(scene.path("said")).unwrap();
    let parts = || -> Vec<String> { said().split("\nwatching ").map(Into::into).collect() };
    wait_until("it watches again", || parts().len() > times);
    parts()[times - 1].clone()
}

#[test]
fn edits_are_applied_as_they_are_saved() {
    let scene = Scene::new("include: 'services.d/*.yaml'\nservices: {a: {command: sleep 1000}}");
    fs::create_dir(scene.path("services.d")).unwrap();
    let mut child = watch(&scene);
    watching(&scene, 1);
    let a = scene.pid("a");

    // A package drops a file.
    let dropped = scene.path("services.d/b.yaml");
    fs::write(&dropped, "version: 1\nservices: {b: {command: sleep 1000}}").unwrap();
    let said = watching(&scene, 2);
    assert!(said.contains("1 to start"), "{said}");
    scene.expect_state("b", "ready");
    assert_eq!(scene.pid("a"), a, "what did not change is left alone");

    // A broken edit is refused with its place, and everything goes on.
    let b = scene.pid("b");
    fs::write(&dropped, "version: 1\nservices: {b: {comand: sleep 1000}}").unwrap();
    let said = watching(&scene, 3);
    assert!(said.contains("b.yaml:2:16"), "{said}");
    assert!(said.contains("what runs goes on as before"), "{said}");
    assert_eq!((scene.pid("a"), scene.pid("b")), (a, b));

    // Mended as editors do it: a new file is renamed over the old one.
    let new = scene.path("services.d/.b.yaml.new");
    fs::write(&new, "version: 1\nservices: {b: {command: sleep 2000}}").unwrap();
    fs::rename(&new, &dropped).unwrap();
    let said = watching(&scene, 4);
    assert!(said.contains("changed: command"), "{said}");
    assert_ne!(scene.pid("b"), b);

    // The package is removed.
    fs::remove_file(&dropped).unwrap();
    watching(&scene, 5);
    assert!(scene.service("b").is_null());
    assert_eq!(scene.pid("a"), a);

    // Ctrl-C ends the watching and nothing else.
    let sigint = nix::sys::signal::Signal::SIGINT as i32;
    kill(child.id().cast_signed(), sigint);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(scene.pid("a"), a);
    scene.end();
}

#[test]
fn a_project_that_somebody_takes_down_stays_down() {
    let scene = Scene::new("services: {a: {command: sleep 1000}}");
    let child = watch(&scene);
    watching(&scene, 1);
    scene.run(["down"]).success();
    finish(child).success();
    scene.expect_nothing_left();
}
