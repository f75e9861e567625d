//! `when`.

use crate::STEADY;
use crate::scene::{Scene, append, is_alive};

#[test]
fn who_is_not_to_run_here_is_skipped_and_says_why() {
    let scene = Scene::new(&format!(
        r#"
services:
  broker: {{command: {STEADY}, when: {{env: [BROKER_URL, BROKER_TOKEN]}}, env: {{URL: "${{BROKER_URL}}"}}}}
  socket: {{command: {STEADY}, when: {{no_env: BROKER_URL}}}}
  lint: {{type: task, command: "true", when: {{executable: no-such-program}}}}
  here: {{type: task, command: "true", when: {{executable: sh, file: baudbot.yaml}}}}
"#
    ));
    let up = scene.run(["up"]).success();
    assert!(
        up.stderr
            .contains("`broker` is skipped: BROKER_URL is not set, BROKER_TOKEN is not set"),
        "{}",
        up.stderr
    );
    assert!(
        up.stderr.contains("2 of 4 services up, 2 skipped"),
        "{}",
        up.stderr
    );
    scene.expect_state("broker", "skipped");
    scene.expect_state("lint", "skipped");
    scene.expect_state("socket", "ready");
    scene.expect_state("here", "completed");
    assert_eq!(
        scene.service("lint")["reason"],
        "no program `no-such-program` is found"
    );
    scene.run(["status"]).success();
    let plan = scene.run(["plan"]).success().stdout;
    assert!(plan.contains("skipped: BROKER_URL is not set"), "{plan}");
    scene.end();
}

#[test]
fn two_transports_with_opposite_conditions_take_turns() {
    let scene = Scene::new(&format!(
        r#"
env_files: bridge.env
services:
  broker: {{command: {STEADY}, when: {{env: BROKER_URL}}, groups: [bridge]}}
  socket: {{command: {STEADY}, when: {{no_env: BROKER_URL}}, groups: [bridge]}}
  after: {{command: {STEADY}, depends_on: ["@bridge"]}}
groups: {{bridge: {{}}}}
"#
    ));
    append(&scene.path("bridge.env"), "BROKER_URL=\n");
    scene.run(["up"]).success();
    scene.expect_state("broker", "skipped");
    // A group is what of it is to run here.
    scene.expect_state("after", "ready");
    let (socket, after) = (scene.pid("socket"), scene.pid("after"));

    append(&scene.path("bridge.env"), "BROKER_URL=https://broker\n");
    let plan = scene.run(["plan", "--json"]).success().json().to_string();
    assert!(
        plan.contains(
            r#"{"action":"stop","service":"socket","reason":"skipped: BROKER_URL is set"}"#
        ),
        "{plan}"
    );
    scene.run(["up"]).success();
    scene.expect_state("socket", "skipped");
    scene.expect_state("broker", "ready");
    assert!(!is_alive(socket));
    assert_eq!(scene.pid("after"), after, "what runs on is left alone");
    scene.end();
}

#[test]
fn what_needs_a_skipped_service_itself_is_blocked_at_once() {
    let scene = Scene::new(&format!(
        r#"
services:
  db: {{command: {STEADY}, when: {{env: DB_URL}}}}
  web: {{command: {STEADY}, depends_on: [db]}}
  lone: {{command: {STEADY}}}
"#
    ));
    scene.run(["up"]).code(5);
    scene.expect_state("web", "blocked");
    assert_eq!(
        scene.service("web")["reason"],
        "dependency `db` is skipped: DB_URL is not set"
    );
    scene.expect_state("lone", "ready");
    scene.end();
}

#[test]
fn a_session_that_nobody_remembers_is_swept_when_its_service_is_skipped() {
    let mut scene = Scene::new(
        r#"
services:
  bridge: {type: tmux, command: [sleep, "1000"], when: {env: BRIDGE}, cleanup: {strategy: tmux-prefix, prefix: test-bridge}, session: test-bridge}
  other: {type: tmux, command: [sleep, "1000"]}
"#,
    );
    scene.run(["up"]).success();
    // As if by an earlier script, on the same server.
    scene
        .tmux(["new-session", "-d", "-s", "test-bridge-2", "sleep 1000"])
        .success();
    scene.run(["up"]).success();
    let sessions = scene.tmux(["list-sessions", "-F", "#S"]).success().stdout;
    assert!(!sessions.contains("test-bridge"), "{sessions}");
    scene.expect_state("other", "ready");
    scene.set("BRIDGE", "1");
    scene.run(["up"]).success();
    scene.expect_state("bridge", "ready");
    scene.end();
}
