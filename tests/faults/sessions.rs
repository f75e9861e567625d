//! A session on a shared tmux server is the project's when the project made it, not by its name alone.

use std::process::Stdio;

use super::scene::{Outcome, Scene, finish, kill, wait_until};

const MANIFEST: &str = "
tmux: {server: ./shared.sock}
services:
  a: {type: tmux, session: work, command: [sleep, '1000'], restart: {delay: 10ms}}
  b: {command: [sleep, '1000']}
";

fn person(scene: &Scene, arguments: &[&str]) -> Outcome {
    let mut command = scene.program("tmux");
    command.args(["-f", "/dev/null", "-S"]);
    command.arg(scene.path("shared.sock")).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn a_session_of_a_person_with_the_declared_name_blocks_the_service() {
    let scene = Scene::new(MANIFEST);
    person(&scene, &["new-session", "-d", "-s", "work", "sleep 1000"]).success();
    let up = scene.run(["up"]).code(5);
    let why = "the session `work` on the shared tmux server was not made by this project";
    assert!(up.stderr.contains(why), "{}", up.stderr);
    scene.expect_state("a", "blocked");
    scene.expect_state("b", "ready");
    scene.run(["down"]).success();
    person(&scene, &["has-session", "-t", "=work"]).success();

    // What the reason says to do works where it is pasted.
    scene.run(["up"]).code(5);
    let reason = scene.service("a")["reason"].as_str().unwrap().to_owned();
    let rename = reason
        .split('`')
        .find(|part| part.contains("rename-session"))
        .unwrap();
    let mut shell = scene.program("sh");
    shell.args(["-c", rename]);
    finish(shell.spawn().unwrap()).success();
    scene.run(["up"]).success();
    person(&scene, &["has-session", "-t", "=work"]).success();
    scene.run(["down"]).success();
    assert_ne!(
        person(&scene, &["has-session", "-t", "=work"]).code,
        Some(0)
    );
    person(&scene, &["has-session", "-t", "=work-2"]).success();
    person(&scene, &["kill-server"]).success();
    scene.end();
}

#[test]
fn a_session_that_a_person_kills_is_named_as_the_reason() {
    let scene = Scene::new(
        "services:\n  t: {type: tmux, session: work, command: [sleep, '1000'], restart: {policy: never}}",
    );
    scene.run(["up"]).success();
    scene.tmux(["kill-session", "-t", "=work"]).success();
    wait_until("its end is known", || {
        scene.service("t")["state"] == "failed"
    });
    let t = scene.service("t");
    assert_eq!(t["reason"], "its tmux session was killed");
    scene.end();
}

/// Its own session is known after a crash and after its process has ended, by what the session says.
#[test]
fn a_session_that_the_project_made_stays_its_own() {
    let scene = Scene::new(MANIFEST);
    scene.run(["up"]).success();
    let first = scene.pid("a");
    scene.crash_supervisor();
    scene.run(["up"]).success();
    assert_eq!(scene.pid("a"), first);
    kill(first, 9);
    wait_until("a second run", || {
        let a = scene.service("a");
        a["state"] == "ready" && a["restarts"] == 1
    });
    scene.run(["restart", "a"]).success();
    scene.run(["down"]).success();
    assert_ne!(
        person(&scene, &["has-session", "-t", "=work"]).code,
        Some(0)
    );
    scene.end();
}
