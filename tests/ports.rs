//! Ports that services own: free before the start, theirs while they run, free again after.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod scene;

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use baudbot::id::{ProjectName, RunId};
use baudbot::sys::mark::{Mark, Nesting, ProjectId};
use scene::{PROJECT, Scene, free_port, is_alive, kill, wait_for_file, wait_until};

/// Listens on the port that it is given, once it may, and says so in the file that it is given.
const LISTEN: &str = "import socket, sys, time\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\ns.bind(('127.0.0.1', int(sys.argv[1])))\ns.listen()\nopen(sys.argv[2], 'w').write('up')\ntime.sleep(1000)\n";

fn scene_with_listener() -> Scene {
    let scene = Scene::bare();
    fs::write(scene.path("listen.py"), LISTEN).unwrap();
    scene
}

fn web(port: u16) -> String {
    format!(
        "services: {{web: {{command: [python3, listen.py, {port}, up], ports: ['127.0.0.1:{port}'], ready: {{tcp: {port}}}}}}}"
    )
}

/// A process that carries the mark of a run that this project had once.
fn leftover(scene: &Scene, arguments: &[&str]) -> Child {
    fs::create_dir_all(scene.state_dir()).unwrap();
    let state = fs::canonicalize(scene.state_dir()).unwrap();
    let project = ProjectId::new(&ProjectName::new(PROJECT).unwrap(), &state);
    let mark = Mark::for_run(project, RunId(4711), Nesting::here().unwrap());
    let mut command: Command = scene.program("python3");
    command
        .args(arguments)
        .stdout(Stdio::null())
        .process_group(0);
    // SAFETY: one async-signal-safe call.
    unsafe { command.pre_exec(move || mark.apply()) };
    command.spawn().unwrap()
}

#[test]
fn a_port_is_the_services_while_it_runs_and_proven_free_after() {
    let scene = scene_with_listener();
    let port = free_port();
    scene.edit(&web(port));
    scene.run(["up"]).success();
    let service = scene.service("web");
    assert_eq!(service["ports"], serde_json::json!([port]), "{service}");
    assert!(service["reason"].is_null(), "{service}");
    let down = scene.run(["down"]).success();
    let proof = format!("verified: port 127.0.0.1:{port} is free");
    assert!(down.stdout.contains(&proof), "{}", down.stdout);
    scene.expect_nothing_left();
    scene.end();
}

/// Who holds a port and is not ours is named and left alone; once it is gone, `up` starts.
#[test]
fn a_stranger_on_the_port_blocks_the_service() {
    let scene = scene_with_listener();
    let port = free_port();
    scene.edit(&web(port));
    for bound in ["127.0.0.1", "0.0.0.0", "[::]"] {
        let stranger = TcpListener::bind(format!("{bound}:{port}")).unwrap();
        let up = scene.run(["up"]).code(5);
        let me = std::process::id();
        let said = format!("port 127.0.0.1:{port} is held by pid {me} (`");
        assert!(up.stderr.contains(&said), "{bound}: {}", up.stderr);
        assert!(up.stderr.contains("did not start"), "{}", up.stderr);
        assert!(!scene.path("up").exists(), "it was started");
        drop(stranger);
    }
    scene.run(["up"]).success();
    wait_for_file(&scene.path("up"));
    scene.end();
}

/// A stranger who takes the port of a service that never ran is no business of `down`.
#[test]
fn a_stranger_on_the_port_is_no_survivor_of_a_service_that_never_ran() {
    let scene = scene_with_listener();
    let port = free_port();
    scene.edit(&web(port));
    let _stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    scene.run(["up"]).code(5);
    scene.run(["down"]).success();
    scene.end();
}

#[test]
fn two_services_cannot_hold_one_port_by_not_declaring_it() {
    let scene = scene_with_listener();
    let port = free_port();
    scene.edit(&format!(
        "services:\n  squatter: {{command: [python3, listen.py, {port}, squatted], ready: {{tcp: {port}}}}}\n  web: {{command: [python3, listen.py, {port}, up], ports: [{port}], depends_on: [squatter]}}"
    ));
    let up = scene.run(["up"]).code(5);
    let said = "which belongs to service `squatter`";
    assert!(up.stderr.contains(said), "{}", up.stderr);
    scene.expect_state("squatter", "ready");
    scene.end();
}

/// What an earlier run left on the port is ours by its mark, and nobody wants it any more.
#[test]
fn our_own_leftover_on_the_port_is_ended() {
    let scene = scene_with_listener();
    let port = free_port();
    scene.edit(&format!(
        "services: {{other: {{command: [sleep, '1000']}}, web: {{command: [python3, listen.py, {port}, up], ports: [{port}], ready: {{tcp: {port}}}}}}}"
    ));
    // The supervisor is there already: at its start it would have ended the leftover by itself.
    scene.run(["up", "other"]).success();
    let mut left = leftover(&scene, &["listen.py", &port.to_string(), "left"]);
    wait_for_file(&scene.path("left"));
    scene.run(["up"]).success();
    assert!(!is_alive(left.id().cast_signed()));
    left.wait().unwrap();
    scene.expect_state("web", "ready");
    scene.end();
}

/// While the service runs, somebody else listens on its port: it is told, and `down` does not touch
/// them.
#[test]
fn a_stranger_on_the_port_of_a_running_service_is_reported() {
    let scene = scene_with_listener();
    let port = free_port();
    scene.edit(&format!(
        "services: {{lazy: {{command: 'while ! test -e go; do sleep 0.01; done; echo ready; exec sleep 1000', ports: [{port}], ready: {{log: ready}}}}}}"
    ));
    let mut up = scene.command(["up"]).spawn().unwrap();
    wait_until("it is starting", || {
        scene.service("lazy")["state"] == "starting" && scene.service("lazy")["pid"].is_number()
    });
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    fs::write(scene.path("go"), "").unwrap();
    assert!(up.wait().unwrap().success());
    let me = std::process::id();
    wait_until("the stranger is named", || {
        let reason = scene.service("lazy")["reason"].clone();
        reason.as_str().is_some_and(|reason| {
            reason.contains(&format!("port {port} is held by pid {me} "))
                && reason.contains("not by the service")
        })
    });
    // Its port was free when it was started. Who has it now may be anybody, and is told.
    let down = scene.run(["down", "lazy"]).code(1);
    assert!(down.stdout.contains(&me.to_string()), "{}", down.stdout);
    assert!(
        down.stdout.contains("which was free when"),
        "{}",
        down.stdout
    );
    drop(stranger);
    scene.end();
}

/// A process of the service that got rid of everything that proves whose it is keeps the port: it
/// cannot be ended, but it cannot hide either.
#[test]
fn a_port_that_stays_held_is_not_called_clean() {
    let scene = scene_with_listener();
    let port = free_port();
    // Its limit lowered below every mark, in a session of its own, orphaned to init by way of a
    // helper that is not the supervisor's: here simply by us.
    scene.edit(&format!(
        "services: {{web: {{command: 'echo $$ > pid; exec sleep 1000', ports: [{port}]}}}}"
    ));
    scene.run(["up"]).success();
    let mut unknown = scene
        .program("python3")
        .args(["listen.py", &port.to_string(), "held"])
        .spawn()
        .unwrap();
    wait_for_file(&scene.path("held"));
    let down = scene.run(["down"]).code(1);
    let pid = unknown.id().to_string();
    assert!(down.stdout.contains("survived:"), "{}", down.stdout);
    assert!(down.stdout.contains(&pid), "{}", down.stdout);
    assert!(
        is_alive(unknown.id().cast_signed()),
        "it was not ours to end"
    );
    kill(unknown.id().cast_signed(), 9);
    unknown.wait().unwrap();
    scene.end();
}
