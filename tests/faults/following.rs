//! A reader that is slower than the log is rotated is told what it missed; and where a run begins.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::scene::{Scene, wait_for_file, wait_until};

/// Prints 20,000 numbered lines, of which the log keeps a few hundred, once the file `go` is there.
const FLOOD: &str = r"
services:
  s:
    command: |
      echo first; while ! [ -e go ]; do sleep 0.02; done
      seq -f 'x%07.0f' 20000; echo done > told; exec sleep 1000
    log: {max_size: 16KiB, keep: 2}
";

/// Follows with these words while nothing is read until all is printed; returns what came up to the
/// last line.
fn late(scene: &Scene, words: &[&str]) -> Vec<String> {
    let mut follower = scene.command(words).spawn().unwrap();
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    std::fs::write(scene.path("go"), "").unwrap();
    wait_for_file(&scene.path("told"));
    wait_until("the last line is logged", || {
        scene.logs("s").contains("x0020000")
    });
    let mut lines = vec![first.trim_end().to_owned()];
    for line in out.by_ref().lines() {
        lines.push(line.unwrap());
        if lines.last().unwrap().contains("x0020000") {
            break;
        }
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    lines
}

fn number(text: &str) -> Option<u32> {
    text.split_once('x')?.1.get(..7)?.parse().ok()
}

#[test]
fn a_follower_that_falls_behind_is_told_of_each_gap_and_goes_on() {
    let scene = Scene::new(FLOOD);
    scene.run(["up"]).success();
    let lines = late(&scene, &["logs", "-f", "-n", "1", "s"]);
    let mut last = None;
    let mut is_told = false;
    let mut gaps = 0;
    for line in &lines {
        if line.contains("were rotated away before they were read") {
            is_told = true;
            gaps += 1;
        } else if let Some(number) = number(line) {
            let follows = last.is_none_or(|last| number == last + 1);
            assert!(
                follows || is_told,
                "from {last:?} to {number} without a word"
            );
            (last, is_told) = (Some(number), false);
        }
    }
    assert!(gaps > 0, "{} lines", lines.len());
    scene.end();
}

#[test]
fn programs_are_told_of_gaps_too() {
    let scene = Scene::new(FLOOD);
    scene.run(["up"]).success();
    let lines = late(&scene, &["logs", "-f", "-n", "1", "--json", "s"]);
    let read = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    let lines: Vec<Value> = lines.iter().map(read).collect();
    let mut last = None;
    for line in &lines {
        let Some(number) = number(line["line"].as_str().unwrap()) else {
            continue;
        };
        let has_gap = last.is_some_and(|last| number != last + 1);
        assert!(!has_gap || line["is_after_gap"] == true, "{line}");
        last = Some(number);
    }
    assert!(lines.iter().any(|line| line["is_after_gap"] == true));
    scene.end();
}

#[test]
fn logs_show_where_a_run_begins() {
    let scene =
        Scene::new("services: {a: {command: 'echo hello; exec sleep 1000', ready: {log: hello}}}");
    scene.run(["up"]).success();
    scene.run(["restart", "a"]).success();
    assert_eq!(scene.logs("a"), "a | hello\na | hello\n");
    let marked = scene.run(["logs", "--runs=always", "a"]).success().stdout;
    let lines: Vec<&str> = marked.lines().collect();
    assert_eq!(lines.len(), 4, "{marked}");
    assert!(
        lines[0].starts_with("a | ── run ") && lines[0].ends_with(" begins ──"),
        "{marked}"
    );
    assert!(lines[2].starts_with("a | ── run "), "{marked}");
    assert_ne!(lines[0], lines[2]);
    let run = scene.service("a")["run"].clone();
    let told = scene
        .run(["logs", "--json", "-n", "1", "a"])
        .success()
        .json();
    assert_eq!(told["begins_run"], run);
    scene.end();
}
