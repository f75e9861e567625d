//! A child that shed its mark and became the supervisor's own goes with its service, or is told of.

use crate::scene::{Scene, wait_for_file, wait_until};
use baudbot::sys::identity::Identity;

/// A daemon without a mark, whose pid is written into `daemon`; `prefix` is put before it.
fn manifest(prefix: &str) -> String {
    format!(
        r#"
services:
  a:
    command: "{prefix} prlimit --locks=0:0 setsid sh -c 'sleep 1000 & echo $! > daemon.new; mv daemon.new daemon'; exec sleep 1000"
    ready: {{ file: daemon }}
  b: {{ command: [sleep, "1000"] }}
"#
    )
}

/// The daemon, once the supervisor or its guardian is its parent.
fn orphan(scene: &Scene) -> Identity {
    let pid: i32 = wait_for_file(&scene.path("daemon")).trim().parse().unwrap();
    wait_until("the daemon is an orphan", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let parent = rest.split_whitespace().nth(1).unwrap();
        std::fs::read_to_string(format!("/proc/{parent}/comm"))
            .is_ok_and(|name| name.starts_with("baudbot"))
    });
    Identity::of(pid).unwrap().unwrap()
}

#[test]
fn a_stop_takes_along_a_daemon_that_shed_its_mark() {
    let scene = Scene::new(&manifest(""));
    scene.run(["up"]).success();
    let daemon = orphan(&scene);
    let stopped = scene.run(["stop", "a"]).success();
    assert!(!daemon.is_alive());
    assert!(
        stopped.stdout.contains("no process of `a` is left"),
        "{}",
        stopped.stdout
    );
    scene.expect_state("b", "ready");
    scene.end();
}

#[test]
fn a_stop_tells_of_a_daemon_that_may_be_of_any_service() {
    let scene = Scene::new(&manifest("env -u BAUDBOT_SERVICE"));
    scene.run(["up"]).success();
    let daemon = orphan(&scene);
    let stopped = scene.run(["stop", "a"]).code(1);
    assert!(daemon.is_alive());
    assert!(
        !stopped.stdout.contains("no process of `a` is left"),
        "{}",
        stopped.stdout
    );
    assert!(
        stopped
            .stdout
            .contains(&format!("{} (sleep 1000)", daemon.pid)),
        "{}",
        stopped.stdout
    );
    scene.run(["down"]).success();
    assert!(!daemon.is_alive());
    scene.end();
}
