//! `exports` and `${service.name}`.

use std::os::unix::fs::symlink;

use crate::STEADY;
use crate::scene::{Scene, kill, wait_until};

/// An agent that makes a link named by the file `id`, as it says a socket of its own is called; and a
/// bridge that tells with which one it was started.
const AGENT: &str = r#"
  agent:
    command: "test -e hold || ln -sfn \"$(cat id).sock\" agent.alias; trap 'exit 0' TERM; sleep 1000 & wait"
    exports: {session_id: {readlink: agent.alias, pattern: '^(.*)\.sock$'}}
    restart: {delay: 10ms}
  bridge:
    command: [sh, -c, "echo $1 $ID >> seen; trap 'exit 0' TERM; sleep 1000 & wait", sh, "${agent.session_id}"]
    env: {ID: "id-${agent.session_id}"}
"#;

fn scene(id: &str) -> Scene {
    let scene = Scene::new(&format!(
        "services:\n{AGENT}\n  other: {{command: {STEADY}}}\n"
    ));
    std::fs::write(scene.path("id"), id).expect("a file");
    scene
}

fn seen(scene: &Scene) -> String {
    std::fs::read_to_string(scene.path("seen")).unwrap_or_default()
}

fn relink(scene: &Scene, target: &str) {
    symlink(target, scene.path("next")).expect("a link");
    std::fs::rename(scene.path("next"), scene.path("agent.alias")).expect("a link");
}

#[test]
fn who_refers_to_a_value_is_started_with_it_and_restarted_when_it_changes() {
    let scene = scene("one");
    scene.run(["up"]).success();
    wait_until("the bridge has told", || seen(&scene) == "one id-one\n");
    assert_eq!(scene.service("agent")["exports"]["session_id"], "one");
    let config = scene.run(["config"]).success().stdout;
    assert!(config.contains("${agent.session_id}"), "{config}");
    assert!(config.contains("readlink:"), "{config}");
    let (agent, other) = (scene.pid("agent"), scene.pid("other"));

    // Within the same run.
    relink(&scene, "two.sock");
    wait_until("the bridge has told", || {
        seen(&scene).ends_with("two id-two\n")
    });
    wait_until("it is ready", || {
        let bridge = scene.service("bridge");
        bridge["state"] == "ready" && bridge["restarts"] == 1
    });
    assert_eq!((scene.pid("agent"), scene.pid("other")), (agent, other));
    let events = scene.run(["events"]).success().stdout;
    assert!(events.contains("`agent.session_id` changed"), "{events}");

    // The same value from a new run restarts nobody; another one does.
    let bridge = scene.pid("bridge");
    std::fs::write(scene.path("id"), "two").unwrap();
    scene.run(["restart", "agent"]).success();
    assert_eq!(scene.pid("bridge"), bridge);
    std::fs::write(scene.path("id"), "three").unwrap();
    kill(scene.pid("agent"), 9);
    wait_until("the bridge has told", || {
        seen(&scene).ends_with("three id-three\n")
    });
    scene.end();
}

#[test]
fn what_an_earlier_run_left_is_no_value() {
    let scene = scene("new");
    symlink("old.sock", scene.path("agent.alias")).unwrap();
    std::fs::write(scene.path("hold"), "").unwrap();
    scene.run(["up", "--no-wait"]).success();
    wait_until("the old link was looked at", || {
        let reason = scene.service("agent")["reason"].to_string();
        reason.contains("export `session_id`") && reason.contains("is older than this start")
    });
    scene.expect_state("agent", "starting");
    scene.expect_state("bridge", "waiting");
    relink(&scene, "new.sock");
    wait_until("the bridge has told", || seen(&scene) == "new id-new\n");
    scene.end();
}

#[test]
fn files_and_commands_are_sources_too() {
    let scene = Scene::new(
        r#"
services:
  server:
    command: "sleep 0.1; echo 4711 > port; trap 'exit 0' TERM; sleep 1000 & wait"
    exports:
      port: {file: port}
      token: {command: "sed 's/^/t/' token", interval: 50ms, pattern: "t.+"}
  client:
    command: "echo $PORT $TOKEN >> seen; exec sleep 1000"
    env: {PORT: "${server.port}", TOKEN: "${server.token}"}
    working_dir: "."
    ready: {exec: [grep, -q, "${server.port} ${server.token}", seen]}
"#,
    );
    std::fs::write(scene.path("token"), "1\n").unwrap();
    scene.run(["up"]).success();
    assert_eq!(seen(&scene), "4711 t1\n");
    std::fs::write(scene.path("token"), "2\n").unwrap();
    wait_until("the new token is used", || {
        seen(&scene).ends_with("4711 t2\n")
    });
    std::fs::write(scene.path("port"), "4712\n").unwrap();
    wait_until("the new port is used", || {
        seen(&scene).ends_with("4712 t2\n")
    });
    scene.end();
}

#[test]
fn who_exports_nothing_in_time_has_failed_and_nobody_waits_for_it() {
    let scene = Scene::new(&format!(
        r#"
services:
  agent:
    command: {STEADY}
    ready: {{exec: "true", timeout: 3s}}
    exports: {{id: {{file: never}}}}
    restart: never
  bridge: {{command: [sleep, "${{agent.id}}"]}}
"#
    ));
    scene.run(["up"]).code(1);
    let reason = scene.service("agent")["reason"].to_string();
    assert!(
        reason.contains("not ready after 3s") && reason.contains("never does not exist yet"),
        "{reason}"
    );
    scene.expect_state("bridge", "blocked");
    scene.end();
}
