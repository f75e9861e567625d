//! Two orders that contradict each other: the later one holds, and the command that waits for the
//! earlier one returns at once and names it.

use std::fs;
use std::process::Child;

use super::scene::{Outcome, Scene, finish, wait_until};

/// `slow` stops only once there is a file `go`; `top` needs it, `other` has nothing to do with them.
const MANIFEST: &str = r#"
defaults: { stop: { timeout: 1h } }
services:
  slow:
    command: "trap 'while [ ! -e go ]; do sleep 0.05; done; exit 0' TERM; echo hi; while :; do sleep 0.05; done"
    ready: { log: hi }
  top: { command: [sleep, "1000"], depends_on: [slow] }
  other: { command: [sleep, "1000"] }
"#;

fn scene() -> Scene {
    let scene = Scene::new(MANIFEST);
    scene.run(["up"]).success();
    scene
}

/// Gives an order, and returns while it is being carried out: `slow` is being stopped.
fn begin(scene: &Scene, order: &[&str]) -> Child {
    let child = scene.command(order).spawn().unwrap();
    wait_until("`slow` is being stopped", || {
        scene.service("slow")["state"] == "stopping"
    });
    child
}

/// The earlier order ends although nothing of what it waits for has happened.
#[track_caller]
fn expect_overtaken(outcome: Outcome, words: &[&str]) {
    let outcome = outcome.code(1);
    for word in words {
        assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
    }
}

fn end(scene: Scene) {
    fs::write(scene.path("go"), "").unwrap();
    scene.end();
}

#[test]
fn the_end_of_everything_is_overtaken_by_an_up() {
    let scene = scene();
    let down = begin(&scene, &["down"]);
    scene.run(["up", "--no-wait"]).success();
    expect_overtaken(
        finish(down),
        &[
            "run::overtaken",
            "`slow`",
            "`top`",
            "are wanted again: `up` by process",
        ],
    );
    end(scene);
}

#[test]
fn the_stop_of_a_service_is_overtaken_by_its_start_and_its_restart() {
    for later in ["start", "restart"] {
        let scene = scene();
        let stop = begin(&scene, &["stop", "slow"]);
        scene.run([later, "slow", "--no-wait"]).success();
        expect_overtaken(finish(stop), &["`slow` is wanted again"]);
        end(scene);
    }
}

#[test]
fn a_restart_is_overtaken_by_a_stop() {
    let scene = scene();
    let restart = begin(&scene, &["restart", "slow"]);
    let stop = scene.command(["stop", "slow"]).spawn().unwrap();
    expect_overtaken(
        finish(restart),
        &["`slow` is not wanted any more: `down` by process"],
    );
    fs::write(scene.path("go"), "").unwrap();
    finish(stop).success();
    scene.end();
}

#[test]
fn an_up_is_overtaken_by_the_end_of_one_of_its_services() {
    let scene = Scene::new(
        r#"
services:
  a: { command: [sleep, "1000"] }
  never: { command: [sleep, "1000"], ready: { file: never, timeout: 1h } }
"#,
    );
    let up = scene.command(["up"]).spawn().unwrap();
    wait_until("`never` is starting", || {
        scene.service("never")["state"] == "starting"
    });
    scene.run(["stop", "a"]).success();
    expect_overtaken(finish(up), &["`a` is not wanted any more: `down`"]);
    scene.end();
}

#[test]
fn a_start_of_something_else_is_no_contradiction() {
    let scene = scene();
    scene.run(["stop", "other"]).success();
    // These are all that runs: the supervisor would leave after them.
    let down = begin(&scene, &["down", "slow", "top"]);
    scene.run(["start", "other"]).success();
    fs::write(scene.path("go"), "").unwrap();
    let outcome = finish(down).success();
    assert!(
        outcome.stdout.contains("no process of `slow` is left"),
        "{outcome:?}"
    );
    scene.expect_state("other", "ready");
    scene.end();
}

#[test]
fn a_signal_to_the_supervisor_is_a_later_order_too() {
    let scene = scene();
    let restart = begin(&scene, &["restart", "slow"]);
    super::scene::kill(scene.supervisor(), 15);
    expect_overtaken(
        finish(restart),
        &["`slow` is not wanted any more", "a signal"],
    );
    fs::write(scene.path("go"), "").unwrap();
    wait_until("the supervisor has left", || !scene.runtime_dir().exists());
    scene.close();
}
