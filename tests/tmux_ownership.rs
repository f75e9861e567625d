//! Whose a tmux session, a tmux server, and what comes of them is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scene;

use std::collections::BTreeSet;
use std::process::Stdio;

use scene::{Scene, finish, is_alive, kill, wait_for_file, wait_until};

/// A tmux command of a person in the scene, on a server that they share with the project.
fn person(scene: &Scene, arguments: &[&str]) -> scene::Outcome {
    let mut command = scene.program("tmux");
    let socket = scene.path("shared.sock");
    command.args(["-f", "/dev/null", "-S"]).arg(socket);
    command.args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

fn session_of_a_person(scene: &Scene, name: &str) {
    person(scene, &["new-session", "-d", "-s", name, "sleep 1000"]).success();
}

fn sessions(scene: &Scene) -> BTreeSet<String> {
    let listed = person(scene, &["list-sessions", "-F", "#{session_name}"]);
    listed.success().stdout.lines().map(str::to_owned).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn pid_in(scene: &Scene, name: &str) -> i32 {
    wait_for_file(&scene.path(name)).trim().parse().unwrap()
}

/// On a server that people use too, the sessions that the project made and exactly the old names go: not
/// those that merely begin alike.
#[test]
fn sessions_of_people_on_a_shared_server_are_never_touched() {
    let scene = Scene::new(
        r#"
tmux: {server: ./shared.sock}
services:
  bridge: {type: tmux, session: baudbot-slack-bridge, command: [sleep, '1000'], legacy_sessions: [slack-bridge]}
  web: {command: [sleep, '1000'], legacy_sessions: [web-in-tmux]}
"#,
    );
    let theirs = ["baudbot", "baudbot-x", "slack-bridge-2", "slack"];
    for name in theirs {
        session_of_a_person(&scene, name);
    }
    let swept = ["slack-bridge", "web-in-tmux"];
    for name in swept {
        session_of_a_person(&scene, name);
    }
    scene.run(["up"]).success();
    let with_ours = [&theirs[..], &["baudbot-slack-bridge"]].concat();
    assert_eq!(sessions(&scene), set(&with_ours));
    // Old names that come back while it runs go when it stops.
    session_of_a_person(&scene, "slack-bridge");
    session_of_a_person(&scene, "web-in-tmux");
    scene.run(["down"]).success();
    assert_eq!(sessions(&scene), set(&theirs));
    person(&scene, &["kill-server"]).success();
    scene.end();
}

/// A shared server that a service happened to found is nobody's to end, nor is what people do in it.
#[test]
fn a_shared_server_that_a_service_founded_stays() {
    let scene = Scene::new(
        "tmux: {server: ./shared.sock}\nservices: {a: {type: tmux, command: [sleep, '1000']}}",
    );
    scene.run(["up"]).success();
    let server = person(&scene, &["display-message", "-p", "#{pid}"]).success();
    let server: i32 = server.stdout.trim().parse().unwrap();
    let pane = [
        "new-session",
        "-d",
        "-s",
        "mine",
        "echo $$ > mine; exec sleep 1000",
    ];
    person(&scene, &pane).success();
    let mine = pid_in(&scene, "mine");
    scene.run(["down"]).success();
    assert!(
        is_alive(server) && is_alive(mine),
        "they were not ours to end"
    );
    assert_eq!(sessions(&scene), set(&["mine"]));
    person(&scene, &["kill-server"]).success();
    scene.end();
}

/// Somebody kills the project's server. Its services are started again by their policy, those too
/// whose process ignores the HUP and would live on unseen.
#[test]
fn a_lost_server_is_noticed_and_its_services_come_back() {
    let scene = Scene::new(
        r#"
services:
  deaf:
    type: tmux
    command: "trap '' HUP; echo $$ >> deaf; while :; do sleep 1000 & wait; done"
    restart: {delay: 10ms}
    stop: {timeout: 1s}
  steady: {command: [sleep, '1000']}
"#,
    );
    scene.run(["up"]).success();
    let (steady, first) = (scene.pid("steady"), pid_in(&scene, "deaf"));
    let server = scene.tmux(["display-message", "-p", "#{pid}"]).success();
    kill(server.stdout.trim().parse().unwrap(), 9);
    wait_until("a second run", || {
        wait_for_file(&scene.path("deaf")).lines().count() == 2
    });
    wait_until("it is ready again", || {
        scene.service("deaf")["state"] == "ready"
    });
    assert!(!is_alive(first), "a run without its session lives on");
    assert_eq!(scene.service("deaf")["restarts"], 1);
    assert_eq!(scene.pid("steady"), steady);
    scene.tmux(["has-session", "-t", "=scene-deaf"]).success();
    scene.end();
}

/// A plain `tmux` in a service reaches the project's server. What such a session leaves behind, far
/// from every group and session, carries the server's mark and goes with the project.
#[test]
fn what_a_session_opened_at_run_time_leaves_behind_goes_with_down() {
    let scene = Scene::new(
        r#"
services:
  agent:
    command: |
      tmux new-session -d -s helper "setsid sh -c '(echo \$\$ > daemon; exec sleep 1000) &' </dev/null >/dev/null 2>&1; exec sleep 1000"
      exec sleep 1000
"#,
    );
    scene.run(["up"]).success();
    let daemon = pid_in(&scene, "daemon");
    scene.tmux(["has-session", "-t", "=helper"]).success();
    scene.run(["down"]).success();
    assert!(!is_alive(daemon));
    scene.end();
}

/// A server that a service starts on a socket of its own is a process of the service like any.
#[test]
fn a_server_on_a_socket_of_the_services_own_is_a_member() {
    let scene = Scene::new(
        r#"
services:
  agent:
    command: |
      tmux -f /dev/null -S own.sock new-session -d "trap '' HUP; echo \$\$ > inner; while :; do sleep 1000 & wait; done"
      exec sleep 1000
    stop: {timeout: 1s}
  other: {command: [sleep, '1000']}
"#,
    );
    scene.run(["up"]).success();
    let inner = pid_in(&scene, "inner");
    scene.run(["down", "agent"]).success();
    assert!(!is_alive(inner));
    scene.expect_state("other", "ready");
    scene.end();
}

/// The ordinary server is the one that a plain `tmux` of whoever gives the order reaches.
#[test]
fn the_ordinary_server_is_that_of_the_ordering_terminal() {
    let mut scene = Scene::new(
        r#"
tmux: {server: default}
services:
  a: {type: tmux, session: ours, command: [sleep, '1000']}
"#,
    );
    let directory = scene.path("sockets");
    std::fs::create_dir(&directory).unwrap();
    let directory = directory.to_str().unwrap().to_owned();
    let tmux = |scene: &Scene, arguments: &[&str]| {
        let mut command = scene.program("tmux");
        command
            .env("TMUX_TMPDIR", &directory)
            .args(["-f", "/dev/null"]);
        command.args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().unwrap())
    };
    tmux(&scene, &["new-session", "-d", "-s", "theirs", "sleep 1000"]).success();
    scene.set("TMUX_TMPDIR", &directory);
    scene.run(["up"]).success();
    let listed = tmux(&scene, &["list-sessions", "-F", "#{session_name}"]).success();
    let listed: BTreeSet<&str> = listed.stdout.lines().collect();
    assert_eq!(listed, ["ours", "theirs"].into());
    scene.run(["down"]).success();
    let listed = tmux(&scene, &["list-sessions", "-F", "#{session_name}"]).success();
    assert_eq!(listed.stdout, "theirs\n");
    tmux(&scene, &["kill-server"]).success();
    scene.end();
}
