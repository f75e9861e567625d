//! `baudbot selftest` tells the truth, and leaves nothing.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::scene::{Outcome, Scene, finish, kill, wait_until};

/// A scene in which the self-test has its scratch directory, so that the leak check sees it.
fn scene() -> Scene {
    let mut scene = Scene::bare();
    let root = scene.root().display().to_string();
    scene.set("TMPDIR", &root);
    scene
}

/// The scratch directories of self-tests.
fn scratch(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.root()).unwrap().flatten();
    let is_scratch = |name: &str| name.starts_with("baudbot-");
    entries
        .filter(|entry| is_scratch(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect()
}

/// No process, no socket, no file.
#[track_caller]
fn close(scene: Scene) {
    assert_eq!(scratch(&scene), Vec::<PathBuf>::new());
    scene.close();
}

fn outcomes(report: &Value, column: &str) -> Vec<(String, String)> {
    let tricks = report["tricks"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    tricks
        .map(|trick| (text(&trick["name"]), text(&trick[column]["outcome"])))
        .collect()
}

#[test]
fn nothing_escapes_here() {
    let scene = scene();
    let outcome = scene.run(["selftest", "--json"]).success();
    let report = outcome.json();
    assert_eq!(report["version"], 1);
    assert_eq!(report["contained"], true);
    for column in ["normal", "after_kill"] {
        assert_eq!(report[column]["down_exit"], 0);
        assert_eq!(report[column]["left"], Value::Array(Vec::new()));
        let outcomes = outcomes(&report, column);
        assert_eq!(outcomes.len(), baudbot::selftest::TRICKS.len());
        for (name, outcome) in outcomes {
            let may_be_skipped = ["namespaces", "tmux", "user"].contains(&name.as_str());
            assert!(
                outcome == "contained" || may_be_skipped && outcome == "skipped",
                "{name}: {outcome}: {report:#}"
            );
        }
    }
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    close(scene);
}

#[test]
fn people_get_a_table() {
    let scene = scene();
    let outcome = scene.run(["selftest", "joiner"]).success();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "TRICK   NORMAL STOP  AFTER KILL -9  WHAT IT DOES",
            "child   contained    contained      a child in the group",
            "joiner  contained    contained      a child that joins another service's group",
        ]
    );
    assert!(
        lines[3].starts_with("  joiner: the kernel refuses: "),
        "{}",
        lines[3]
    );
    let last = lines.last().unwrap();
    assert!(
        last.starts_with("contained: nothing escaped; 2 tricks, twice, in "),
        "{last}"
    );
    close(scene);
}

/// A host on which no mark can be set, as it is where somebody lowered the limit: there the
/// self-test says what gets away, and takes that along all the same.
#[test]
fn what_gets_away_is_told_and_ended() {
    let scene = scene();
    let mut command = scene.program("prlimit");
    command.args(["--locks=1000:1000", env!("CARGO_BIN_EXE_baudbot")]);
    command.args(["selftest", "--json"]).stdout(Stdio::piped());
    let report = finish(command.spawn().unwrap()).code(1).json();
    assert_eq!(report["contained"], false);
    let mark = &report["layers"]["mark"];
    assert_eq!(mark["state"], "missing");
    assert_eq!(
        mark["why"],
        "the limit of file locks is already 1000, and can only be lowered"
    );
    // As long as the supervisor lives, descent does what the mark would.
    for (name, outcome) in outcomes(&report, "normal") {
        assert!(
            ["contained", "skipped"].contains(&outcome.as_str()),
            "{name}: {outcome}"
        );
    }
    let after_kill = outcomes(&report, "after_kill");
    let is = |name: &str, outcome: &str| {
        assert!(
            after_kill.contains(&(name.into(), outcome.into())),
            "{name}: {after_kill:?}"
        );
    };
    is("child", "contained");
    is("daemon", "survived");
    is("hopper", "survived");
    close(scene);
}

#[test]
fn an_unknown_trick_is_a_mistake_of_usage() {
    let scene = scene();
    let outcome = scene.run(["selftest", "no-such"]).code(2);
    assert!(outcome.stderr.contains("hopper"), "{}", outcome.stderr);
    close(scene);
}

/// Starts a self-test, interrupts it once the file `at` of its scratch directory is there, and
/// waits for its end.
fn interrupted(scene: &Scene, at: &str, signal: i32) -> Outcome {
    let arguments = ["selftest", "daemon", "hopper", "nested", "leaver"];
    let child: Child = scene.command(arguments).spawn().unwrap();
    wait_until(at, || {
        scratch(scene).iter().any(|dir| dir.join(at).exists())
    });
    kill(child.id().cast_signed(), signal);
    finish(child)
}

#[test]
fn interrupted_at_once_it_leaves_nothing() {
    let scene = scene();
    interrupted(&scene, "", libc::SIGINT).code(130);
    close(scene);
}

#[test]
fn interrupted_as_it_comes_up_it_leaves_nothing() {
    let scene = scene();
    interrupted(&scene, "state", libc::SIGTERM).code(130);
    close(scene);
}

#[test]
fn interrupted_while_the_tricks_are_played_it_leaves_nothing() {
    let scene = scene();
    let outcome = interrupted(&scene, "stop/hopper/heart", libc::SIGINT).code(130);
    assert!(
        outcome
            .stderr
            .ends_with("interrupted: nothing of the self-test is left\n"),
        "{}",
        outcome.stderr
    );
    close(scene);
}

#[test]
fn interrupted_around_the_death_of_the_supervisor_it_leaves_nothing() {
    let scene = scene();
    interrupted(&scene, "kill/nested/ready", libc::SIGHUP).code(130);
    close(scene);
}
