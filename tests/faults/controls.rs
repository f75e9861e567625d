//! What a service prints, what a file is called and what is typed cannot drive the terminal that
//! shows it.

use crate::scene::{Scene, wait_until};

/// A probe that would set the title, clear the screen and write over the line.
const HOSTILE: &str = r#"
services:
  a:
    command: [sleep, '1000']
    health:
      exec: "printf '\\033]0;X\\007\\033[2Jfail\\rwell'; exit 1"
      action: report
      interval: 100ms
      failures: 1
"#;

/// Whether a terminal would obey any of it; tabs, line ends and colours aside.
fn is_obeyed(text: &str) -> bool {
    let text = text.replace("\x1b[0m", "").replace("\x1b[1m", "");
    text.chars().any(|c| c.is_control() && !"\n\t".contains(c))
}

#[test]
fn what_a_probe_prints_is_shown_and_not_obeyed() {
    let scene = Scene::new(HOSTILE);
    scene.run(["up", "--no-wait"]).success();
    wait_until("the check has failed", || {
        scene.service("a")["state"] == "unhealthy"
    });
    for command in [
        &["status"][..],
        &["why", "a"],
        &["events"],
        &["up"],
        &["plan"],
        &["ps"],
        &["graph"],
        &["doctor"],
    ] {
        let outcome = scene.run(command);
        for text in [&outcome.stdout, &outcome.stderr] {
            assert!(!is_obeyed(text), "{command:?}: {text:?}");
        }
    }
    let shown = scene.run(["status"]).stdout;
    assert!(shown.contains(r"\u{1b}[2J"), "{shown}");
    scene.end();
}

#[test]
fn what_is_typed_or_written_into_a_manifest_is_shown_and_not_obeyed() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    scene.run(["up"]).success();
    let hostile = "x\x1b[2J\x1b]0;t\x07";
    for command in [
        &["status", hostile][..],
        &["stop", hostile],
        &["why", hostile],
        &["logs", hostile],
        &["explain", hostile],
        &["-f", hostile, "up"],
        &["-p", hostile, "status"],
        &[hostile],
        &["up", "--timeout", hostile],
    ] {
        let outcome = scene.run(command);
        for text in [&outcome.stdout, &outcome.stderr] {
            assert!(!is_obeyed(text), "{command:?}: {text:?}");
        }
    }
    scene.run(["down"]).success();
    std::fs::write(
        scene.path("baudbot.yaml"),
        "version: 1\nservices:\n  a: {comand: \"x\u{9b}2J\u{202e}\", working_dir: \"/\\e[2J\"}\n",
    )
    .unwrap();
    for command in [&["validate"][..], &["up"], &["plan"]] {
        let outcome = scene.run(command);
        for text in [&outcome.stdout, &outcome.stderr] {
            assert!(!is_obeyed(text), "{command:?}: {text:?}");
            assert!(!text.contains('\u{202e}'), "{command:?}: {text:?}");
        }
    }
    scene.close();
}
