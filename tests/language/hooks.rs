//! `hooks` and `stop.command`.

use std::fs;

use crate::STEADY;
use crate::scene::{Scene, is_alive, wait_for_file, wait_until};

fn lines(scene: &Scene, name: &str) -> Vec<String> {
    let text = fs::read_to_string(scene.path(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn each_hook_has_its_moment_and_the_services_surroundings() {
    let scene = Scene::new(&format!(
        r#"
services:
  a:
    command: {STEADY}
    env: {{WORD: here}}
    umask: "027"
    hooks:
      before_start: "echo before $WORD $(umask) $BAUDBOT_SERVICE >> told; echo to the log"
      after_ready: "echo ready $BAUDBOT_PID >> told"
      after_stop: [sh, -c, "echo stopped >> told"]
  session:
    type: tmux
    command: [sleep, "1000"]
    hooks: {{before_start: "echo before >> session", after_stop: "echo after >> session"}}
"#
    ));
    scene.run(["up"]).success();
    let pid = scene.pid("a");
    wait_until("the hook has told", || lines(&scene, "told").len() == 2);
    assert_eq!(
        lines(&scene, "told"),
        ["before here 0027 a".to_owned(), format!("ready {pid}")]
    );
    assert!(scene.logs("a").contains("to the log"));
    scene.run(["stop", "a", "session"]).success();
    assert_eq!(lines(&scene, "told")[2..], ["stopped"]);
    assert_eq!(lines(&scene, "session"), ["before", "after"]);
    scene.end();
}

#[test]
fn a_start_whose_hook_fails_has_failed_and_what_the_hook_left_is_gone() {
    let scene = Scene::new(&format!(
        r#"
services:
  a:
    command: {STEADY}
    hooks: {{before_start: "setsid sleep 1000 & echo $! > left; exit 3", after_stop: "echo stopped >> told"}}
    restart: {{delay: 10ms, max_failures: 2}}
  slow:
    command: {STEADY}
    hooks: {{before_start: [sleep, "1000"], timeout: 100ms}}
    restart: never
"#
    ));
    scene.run(["up"]).code(1);
    scene.expect_state("a", "failed");
    let reason = scene.service("a")["reason"].to_string();
    assert!(
        reason.contains("running `hooks.before_start`: exited with 3; gave up after 2"),
        "{reason}"
    );
    let left = wait_for_file(&scene.path("left")).trim().parse().unwrap();
    assert!(!is_alive(left));
    assert_eq!(lines(&scene, "told"), ["stopped", "stopped"]);
    let reason = scene.service("slow")["reason"].to_string();
    assert!(reason.contains("did not end within 100ms"), "{reason}");
    scene.end();
}

#[test]
fn a_failure_after_readiness_is_told_and_nothing_more() {
    let scene = Scene::new(&format!(
        r#"services: {{a: {{command: {STEADY}, hooks: {{after_ready: "exit 7"}}}}}}"#
    ));
    scene.run(["up"]).success();
    wait_until("it is told", || {
        scene.service("a")["reason"] == "`hooks.after_ready` exited with 7"
    });
    scene.expect_state("a", "ready");
    scene.end();
}

#[test]
fn no_hook_holds_up_down() {
    let scene = Scene::new(&format!(
        r#"
services:
  before: {{command: {STEADY}, hooks: {{before_start: "trap '' TERM; echo begun > before; while :; do sleep 0.05; done", timeout: 1h}}, stop: {{timeout: 100ms}}}}
  beside: {{command: {STEADY}, hooks: {{after_ready: "trap '' TERM; echo begun > beside; while :; do sleep 0.05; done", timeout: 1h}}, stop: {{timeout: 100ms}}}}
  after: {{command: {STEADY}, hooks: {{after_stop: [sleep, "1000"], timeout: 200ms}}}}
"#
    ));
    scene.run(["up", "--no-wait"]).success();
    wait_for_file(&scene.path("before"));
    wait_for_file(&scene.path("beside"));
    wait_until("it runs", || scene.service("after")["state"] == "ready");
    scene.end();
}

#[test]
fn after_stop_runs_after_a_crash_and_after_a_start_that_failed() {
    let scene = Scene::new(
        r#"
services:
  crash: {command: "sleep 0.1; exit 9", restart: never, hooks: {after_stop: "echo crash >> told"}}
  text: {command: [./text], restart: never, hooks: {after_stop: "echo text >> told"}}
  blocked: {command: [./nothing], hooks: {after_stop: "echo blocked >> told"}}
"#,
    );
    fs::write(scene.path("text"), "no program").unwrap();
    let mut rights = fs::metadata(scene.path("text")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
    fs::set_permissions(scene.path("text"), rights).unwrap();
    scene.run(["up"]);
    wait_until("the crash has come", || {
        scene.service("crash")["state"] == "failed"
    });
    let mut told = lines(&scene, "told");
    told.sort();
    assert_eq!(told, ["crash", "text"]);
    scene.end();
}

#[test]
fn a_stop_command_asks_first_and_the_signal_comes_all_the_same() {
    let scene = Scene::new(
        r#"
services:
  asked:
    command: "trap 'echo TERM >> told' TERM; echo up > asked; while [ ! -e please ]; do sleep 0.02; done"
    stop: {command: "echo asked $BAUDBOT_PID > by; touch please"}
  deaf:
    command: "trap 'echo TERM >> deaf-told; exit 0' TERM; echo up > deaf; while :; do sleep 0.02; done"
    stop: {command: "exit 1"}
  stuck:
    command: "trap '' TERM; echo up > stuck; while :; do sleep 0.02; done"
    stop: {command: [sleep, "1000"], timeout: 150ms}
"#,
    );
    scene.run(["up"]).success();
    for name in ["asked", "deaf", "stuck"] {
        wait_for_file(&scene.path(name));
    }
    let pid = scene.pid("asked");
    scene.run(["stop", "asked", "deaf", "stuck"]).success();
    assert_eq!(lines(&scene, "by"), [format!("asked {pid}")]);
    assert!(lines(&scene, "told").is_empty(), "it ended by itself");
    assert_eq!(lines(&scene, "deaf-told"), ["TERM"]);
    scene.end();
}
