//! The supervisor is killed at each of its crash points (`sys::crash`) in turn, while it brings up,
//! restarts, applies an edit or takes down; then its guardian's next one must get to where the plan
//! wanted to be, as if nothing had been.
//!
//! Each service holds a lock for as long as anything of it lives, what it detached included, and
//! complains when it cannot get it: so two incarnations never lived at once, or the test knows.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

mod scene;

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use scene::{Outcome, Scene, finish};

/// How many scenes are played at once, per command.
const AT_ONCE: usize = 4;

/// What each service does: `sh member NAME`.
const MEMBER: &str = "\
exec 9>>$1.lock
flock -n 9 || echo $1 >> doubles
env | grep BAUDBOT_CRASH >> seen
echo $$ >> $1.lives
[ $1 = once ] && exit 0
setsid sleep 1000 &
trap 'exit 0' TERM
echo up
while :; do sleep 1000 & wait; done
";

const ALL: [&str; 4] = ["a", "once", "t", "d"];

fn manifest(edit: &str) -> String {
    format!(
        "services:
  a: {{command: [sh, member, a], ready: {{log: up}}}}
  once: {{type: task, command: [sh, member, once]}}
  t: {{type: tmux, command: [sh, member, t], ready: {{log: up}}}}
  d: {{command: [sh, member, d, {edit}], ready: {{log: up}}, depends_on: [a, once]}}
"
    )
}

fn fresh() -> Scene {
    let scene = Scene::new(&manifest("before"));
    fs::write(scene.path("member"), MEMBER).unwrap();
    scene
}

/// A scene in which everything runs, without a supervisor: the next command starts one.
fn running() -> Scene {
    let scene = fresh();
    scene.run(["up"]).success();
    scene.kill_supervisor();
    scene
}

fn lives(scene: &Scene, name: &str) -> usize {
    let lives = fs::read_to_string(scene.path(&format!("{name}.lives")));
    lives.unwrap_or_default().lines().count()
}

/// Runs a command whose supervisor dies at point `number`; says what it came to, and whether there
/// was such a point.
fn struck(scene: &Scene, command: &str, number: u32) -> (Outcome, bool) {
    let mut command_line = scene.command([command]);
    command_line
        .env("BAUDBOT_CRASH_AT", number.to_string())
        .env("BAUDBOT_CRASH_TRACE", scene.path("points"));
    let outcome = finish(command_line.spawn().unwrap());
    let points = fs::read_to_string(scene.path("points")).unwrap_or_default();
    assert_ne!(points, "", "no supervisor was started: {outcome:?}");
    let is_there = points.lines().count() >= number as usize;
    let last = points.lines().last().unwrap_or_default();
    println!("{command}, killed at {last}: {:?}", outcome.code);
    if outcome.code != Some(0) {
        println!("{}", outcome.stderr);
        let told = "the supervisor left before everything was";
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
        if command == "restart" {
            // Of a restart it cannot be said whether it is still to be done.
            let help = "give the order again";
            assert!(outcome.stderr.contains(help), "{}", outcome.stderr);
        } else {
            // On a busy host the next supervisor may come too late for a command that waits for it.
            scene.run([command]).success();
        }
    }
    (outcome, is_there)
}

/// Plays the scene for every number until there is no such point.
fn walk(command: &str, play: impl Fn(u32) -> bool + Sync) {
    let next = AtomicU32::new(1);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if !play(number) {
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let walked = next.load(Ordering::Relaxed) - 1;
    println!("{command}: {walked} scenes");
    assert!(walked > 20, "{command}: only {walked} points");
}

#[track_caller]
fn expect_all_well(scene: &Scene) {
    let status = scene.status();
    for name in ALL {
        let state = if name == "once" { "completed" } else { "ready" };
        assert_eq!(status["services"][name]["state"], state, "{name}: {status}");
    }
    expect_single(scene);
}

#[track_caller]
fn expect_single(scene: &Scene) {
    let read = |name: &str| fs::read_to_string(scene.path(name)).unwrap_or_default();
    assert_eq!(read("doubles"), "", "two incarnations lived at once");
    assert_eq!(read("seen"), "", "a service saw what steers the test");
}

#[track_caller]
fn expect_lives(scene: &Scene, expected: [usize; 4]) {
    let events = scene.run(["events"]).stdout;
    let found = ALL.map(|name| lives(scene, name));
    assert_eq!(found, expected, "{ALL:?}\n{events}");
}

#[test]
fn up() {
    walk("up", |number| {
        let scene = fresh();
        // It goes on under the next supervisor.
        let is_there = struck(&scene, "up", number).1;
        expect_all_well(&scene);
        expect_lives(&scene, [1, 1, 1, 1]);
        scene.end();
        is_there
    });
}

#[test]
fn restart() {
    walk("restart", |number| {
        let scene = running();
        let (outcome, is_there) = struck(&scene, "restart", number);
        if outcome.code != Some(0) {
            // How much of the order was taken is known to nobody: whoever gave it is told so.
            scene.run(["restart"]).success();
        }
        expect_all_well(&scene);
        for name in ALL {
            // Once in the order that was cut short, once in its repetition.
            assert!((2..=3).contains(&lives(&scene, name)), "{name}");
        }
        scene.end();
        is_there
    });
}

#[test]
fn edit_and_up() {
    walk("up after an edit", |number| {
        let scene = running();
        scene.edit(&manifest("after"));
        // It goes on under the next supervisor.
        let is_there = struck(&scene, "up", number).1;
        expect_all_well(&scene);
        expect_lives(&scene, [1, 1, 1, 2]);
        scene.end();
        is_there
    });
}

#[test]
fn down() {
    walk("down", |number| {
        let scene = running();
        let is_there = struck(&scene, "down", number).1;
        scene.expect_nothing_left();
        expect_single(&scene);
        expect_lives(&scene, [1, 1, 1, 1]);
        scene.end();
        is_there
    });
}
