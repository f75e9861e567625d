//! The runtime directory goes while services run: at a logout, by a cleaner, by a person. Services stay
//! in reach, and what they print is logged.

use std::fs;
use std::path::PathBuf;

use super::scene::{Scene, is_alive, kill, wait_until};

/// `a` prints what `work/say` holds, each time that it changes.
const MANIFEST: &str = r#"
services:
  a:
    command: "echo begin; last=; while :; do now=$(cat say 2>/dev/null); [ \"$now\" = \"$last\" ] || echo \"$now\"; last=$now; sleep 0.05; done"
    ready: { log: begin }
"#;

fn scene() -> Scene {
    let scene = Scene::new(MANIFEST);
    scene.run(["up"]).success();
    scene
}

#[track_caller]
fn expect_logged(scene: &Scene, word: &str) {
    fs::write(scene.path("say"), word).unwrap();
    wait_until(&format!("`{word}` is logged"), || {
        scene.logs("a").contains(word)
    });
}

fn outputs(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.runtime_dir().join("output")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The whole directory above all projects, as at the last logout: the path leads to another one at
/// once, and nothing tells of it.
fn log_out_and_in(scene: &Scene) {
    let place = scene.root().join("run");
    fs::rename(&place, scene.root().join("run.gone")).unwrap();
    scene.make_directory(&place);
}

#[test]
fn every_command_reaches_a_supervisor_whose_directory_is_gone() {
    for command in [
        &["status"][..],
        &["ps"],
        &["doctor"],
        &["why", "a"],
        &["restart", "a"],
        &["up"],
    ] {
        let scene = scene();
        let (supervisor, leader) = (scene.supervisor(), scene.pid("a"));
        log_out_and_in(&scene);
        let outcome = scene.run(command);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!said.contains("killed"), "{command:?}: {said}");
        assert!(!said.contains("left behind"), "{command:?}: {said}");
        assert!(
            command[0] == "doctor" || outcome.code == Some(0),
            "{command:?}: {said}"
        );
        assert_eq!(scene.supervisor(), supervisor, "{command:?}");
        assert!(command[0] == "restart" || scene.pid("a") == leader);
        expect_logged(&scene, "still here");
        let down = scene.run(["down"]).success();
        assert!(
            down.stdout.contains("no process of the project is left"),
            "{down:?}"
        );
        assert!(!is_alive(leader));
        scene.close();
    }
}

#[test]
fn a_socket_that_is_removed_is_there_again_by_itself() {
    let scene = scene();
    let socket = scene.runtime_dir().join("control.sock");
    fs::remove_file(&socket).unwrap();
    wait_until("the socket is there again", || socket.exists());
    fs::remove_dir_all(scene.runtime_dir()).unwrap();
    wait_until("the directory is there again", || socket.exists());
    expect_logged(&scene, "still here");
    scene.end();
}

#[test]
fn a_stop_is_proven_although_everything_was_removed() {
    let scene = scene();
    let leader = scene.pid("a");
    log_out_and_in(&scene);
    let down = scene.run(["down"]).success();
    assert!(
        down.stdout.contains("no process of the project is left"),
        "{down:?}"
    );
    assert!(!is_alive(leader));
    scene.close();
}

#[test]
fn a_new_run_gets_new_fifos() {
    let scene = scene();
    for path in outputs(&scene) {
        fs::remove_file(path).unwrap();
    }
    // The run that lives has the old ones open.
    expect_logged(&scene, "before the restart");
    scene.run(["restart", "a"]).success();
    expect_logged(&scene, "after the restart");
    scene.end();
}

#[test]
fn the_next_supervisor_reads_fifos_that_have_no_name_any_more() {
    let scene = scene();
    for path in outputs(&scene) {
        fs::remove_file(path).unwrap();
    }
    scene.crash_supervisor();
    expect_logged(&scene, "after the crash");
    scene.run(["restart", "a"]).success();
    expect_logged(&scene, "after the restart");
    scene.end();
}

#[test]
fn tmux_sessions_stay_in_reach() {
    let scene = Scene::new("services: { t: { type: tmux, command: [sleep, '1000'] } }");
    scene.run(["up"]).success();
    fs::remove_dir_all(scene.runtime_dir()).unwrap();
    scene.expect_state("t", "ready");
    wait_until("the server has its socket again", || {
        scene.tmux(["list-sessions"]).code == Some(0)
    });
    scene.end();
}

#[test]
fn a_supervisor_in_the_foreground_is_reached_too() {
    let scene = Scene::new("services: { a: { command: [sleep, '1000'] } }");
    let unit = scene.command(["up", "--foreground"]).spawn().unwrap();
    wait_until("it answers", || scene.status()["supervisor"].is_object());
    scene.run(["status", "--wait"]).success();
    log_out_and_in(&scene);
    scene.expect_state("a", "ready");
    kill(unit.id().cast_signed(), 15);
    super::scene::finish(unit).success();
    scene.close();
}
