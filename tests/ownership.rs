//! What is ours and why: `down --plan`, the proof of `down NAME`, leftovers, `doctor`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scene;

use std::collections::BTreeMap;
use std::fs;

use scene::{Scene, is_alive, wait_for_file, wait_until};
use serde_json::Value;

/// A leader, and a child of it that left its group, its session and its parent.
const ESCAPER: &str = r#"[sh, -c, "setsid sh -c 'echo $$ > escaped; exec sleep 1000' & trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]"#;

fn pid_in(scene: &Scene, name: &str) -> i32 {
    wait_for_file(&scene.path(name)).trim().parse().unwrap()
}

/// The targets of `down --plan ARGUMENTS` by their pid, or the name of their session.
fn planned(scene: &Scene, arguments: &[&str]) -> BTreeMap<String, Value> {
    let all = [&["down", "--plan", "--json"], arguments].concat();
    let plan = scene.run(all).success().json();
    let targets = plan["targets"].as_array().unwrap();
    let key = |target: &Value| match target["pid"].as_i64() {
        Some(pid) => pid.to_string(),
        None => target["session"].as_str().unwrap().to_owned(),
    };
    targets.iter().map(|one| (key(one), one.clone())).collect()
}

#[test]
fn down_plan_lists_everything_with_the_reason_and_touches_nothing() {
    let scene = Scene::new(&format!(
        r#"
services:
  a: {{command: {ESCAPER}}}
  b: {{command: [sleep, '1000'], depends_on: [a]}}
  c: {{type: tmux, command: [sleep, '1000']}}
"#
    ));
    scene.run(["up"]).success();
    let escaped = pid_in(&scene, "escaped");
    let (a, b, c) = (scene.pid("a"), scene.pid("b"), scene.pid("c"));
    for is_supervised in [true, false] {
        if !is_supervised {
            scene.kill_supervisor();
        }
        let all = planned(&scene, &[]);
        let why = |key: &str| all[key]["why"].as_str().unwrap().to_owned();
        assert_eq!(why(&a.to_string()), "is the process that was started");
        assert!(why(&escaped.to_string()).starts_with("carries the mark of run"));
        assert_eq!(all[&escaped.to_string()]["owner"], "a");
        assert_eq!(all[&escaped.to_string()]["command"], "sleep 1000");
        assert_eq!(why("scene-c"), "has the declared name");
        assert_eq!(all[&c.to_string()]["owner"], "c");
        // What needs it goes along; the rest does not.
        let some = planned(&scene, &["a"]);
        assert!(some.contains_key(&a.to_string()) && some.contains_key(&b.to_string()));
        assert!(some.contains_key(&escaped.to_string()));
        assert!(!some.contains_key(&c.to_string()) && !some.contains_key("scene-c"));
        for pid in [a, b, c, escaped] {
            assert!(is_alive(pid), "{pid} was touched");
        }
        scene.run(["down", "--plan", "nobody"]).code(2);
        let status = scene.run(["status", "--json"]).json();
        assert_eq!(
            status["supervisor"].is_object(),
            is_supervised,
            "one was started"
        );
    }
    let shown = scene.run(["down", "--plan"]).success().stdout;
    assert!(shown.contains("nothing was touched"), "{shown}");
    scene.run(["down"]).success();
    for pid in [a, b, c, escaped] {
        assert!(!is_alive(pid), "{pid} is left");
    }
    let nothing = scene.run(["down", "--plan"]).success();
    assert!(
        nothing.stderr.contains("nothing of project"),
        "{}",
        nothing.stderr
    );
    scene.end();
}

#[test]
fn what_is_stopped_while_others_run_is_proven_gone_too() {
    let scene = Scene::new(&format!(
        r#"
services:
  a: {{command: {ESCAPER}}}
  b: {{command: [sleep, '1000']}}
  c: {{type: tmux, command: [sleep, '1000']}}
"#
    ));
    scene.run(["up"]).success();
    let escaped = pid_in(&scene, "escaped");
    let down = scene.run(["down", "a", "c"]).success().stdout;
    for proven in [
        "no process of `a` is left",
        "no process of `c` is left",
        "no tmux session of `c` is left",
    ] {
        assert!(down.contains(&format!("verified: {proven}\n")), "{down}");
    }
    assert!(!is_alive(escaped));
    scene.expect_state("b", "ready");
    // The last one takes the project along, and the proof is that of the project.
    let down = scene.run(["down", "b"]).success().stdout;
    assert!(down.contains("no process of the project is left"), "{down}");
    scene.end();
}

/// Everything on disk that tells of the project is gone; the marks are not.
fn lose_state(scene: &Scene) {
    scene.kill_supervisor();
    for file in ["ledger.jsonl", "lock"] {
        fs::remove_file(scene.state_dir().join(file)).unwrap();
    }
}

#[test]
fn what_nothing_on_disk_tells_of_is_found_by_its_mark_and_goes_with_down() {
    let scene = Scene::new(&format!("services: {{a: {{command: {ESCAPER}}}}}"));
    scene.run(["up"]).success();
    let (a, escaped) = (scene.pid("a"), pid_in(&scene, "escaped"));
    lose_state(&scene);
    let plan = planned(&scene, &[]);
    assert_eq!(plan[&escaped.to_string()]["is_leftover"], true);
    let doctor = scene.run(["doctor"]).code(1).stdout;
    assert!(
        doctor.contains("which nothing on disk tells of"),
        "{doctor}"
    );
    assert!(doctor.contains(&escaped.to_string()), "{doctor}");
    let down = scene.run(["down"]).success();
    assert!(
        down.stderr.contains("nothing on disk tells of"),
        "{}",
        down.stderr
    );
    assert!(!is_alive(a) && !is_alive(escaped));
    scene.end();
}

#[test]
fn what_nothing_on_disk_tells_of_goes_before_up_starts_anew() {
    let scene = Scene::new(&format!("services: {{a: {{command: {ESCAPER}}}}}"));
    scene.run(["up"]).success();
    let (a, escaped) = (scene.pid("a"), pid_in(&scene, "escaped"));
    lose_state(&scene);
    fs::remove_file(scene.path("escaped")).unwrap();
    let up = scene.run(["up"]).success();
    assert!(
        up.stderr.contains("nothing on disk tells of"),
        "{}",
        up.stderr
    );
    assert!(!is_alive(a) && !is_alive(escaped));
    wait_until("the new run", || scene.path("escaped").exists());
    scene.end();
}

#[test]
fn a_healthy_project_is_well_and_programs_can_read_that() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    let report = scene.run(["doctor", "--json"]).success().json();
    assert_eq!(report["version"], 1);
    assert_eq!(report["is_well"], true, "{report:#}");
    scene.run(["up"]).success();
    let report = scene.run(["doctor", "--json"]).success().json();
    let findings = report["findings"].as_array().unwrap();
    let checks: Vec<&str> = findings
        .iter()
        .filter_map(|one| one["check"].as_str())
        .collect();
    for check in [
        "kernel",
        "tmux",
        "directories",
        "manifest",
        "supervisor",
        "leftovers",
    ] {
        assert!(checks.contains(&check), "{check}: {report:#}");
    }
    let layers = scene.status()["supervisor"]["layers"].clone();
    assert_eq!(layers["mark"]["state"], "held", "{layers}");
    scene.end();
}

#[test]
fn what_is_wrong_is_found_and_comes_with_its_fix() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000'], prots: [1]}}");
    let doctor = scene.run(["doctor"]).code(1).stdout;
    assert!(doctor.contains("has 1 mistake"), "{doctor}");
    assert!(doctor.contains("fix: `baudbot validate`"), "{doctor}");
    // A service whose supervisor was killed runs on unwatched.
    scene.edit("services: {a: {command: [sleep, '1000']}}");
    scene.run(["up"]).success();
    let a = scene.pid("a");
    scene.kill_supervisor();
    let doctor = scene.run(["doctor"]).code(1).stdout;
    assert!(doctor.contains(&format!("{a} (`sleep 1000`")), "{doctor}");
    assert!(doctor.contains("fix: `baudbot up`"), "{doctor}");
    scene.end();
}
