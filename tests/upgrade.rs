//! Another supervisor takes over, and services do not notice.

mod scene;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use scene::{Scene, finish, is_alive, wait_for_file, wait_until};

const MANIFEST: &str = r#"
services:
  counter:
    command: "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"
  pane: {type: tmux, command: "while :; do sleep 1000; done"}
  daemon: {command: "setsid sleep 100000 & exec sleep 100000"}
  job: {type: task, command: "echo once >> jobs; while ! test -e go; do sleep 0.01; done; exit 7"}
"#;

fn pids(scene: &Scene) -> Vec<i32> {
    ["counter", "pane", "daemon", "job"]
        .map(|name| scene.pid(name))
        .to_vec()
}

/// Every number once and in order.
#[track_caller]
fn expect_no_gap(scene: &Scene) {
    let logs = scene.run(["logs", "counter"]).success().stdout;
    let numbers: Vec<u64> = logs
        .lines()
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert!(numbers.len() > 10, "{logs}");
    assert_eq!(numbers, expected);
}

#[test]
fn services_do_not_notice_an_upgrade() {
    let scene = Scene::new(MANIFEST);
    scene.run(["up", "--no-wait"]).success();
    wait_for_file(&scene.path("jobs"));
    wait_until("the pane runs", || {
        scene.service("pane")["state"] == "ready"
    });
    let (guardian, before) = (scene.guardian(), pids(&scene));
    let mut supervisor = scene.supervisor();
    for words in [
        &["upgrade"][..],
        &["supervisor", "restart"],
        &["upgrade", "--json"],
    ] {
        let said = scene.run(words).success().stdout;
        let next = scene.supervisor();
        assert_ne!(next, supervisor, "{said}");
        for pid in [supervisor, next] {
            assert!(said.contains(&pid.to_string()), "{said}");
        }
        assert!(!is_alive(supervisor));
        assert_eq!((pids(&scene), scene.guardian()), (before.clone(), guardian));
        supervisor = next;
    }
    // How a task ends that began three supervisors ago is known.
    fs::write(scene.path("go"), "").unwrap();
    wait_until("the job has failed", || {
        scene.service("job")["state"] == "failed"
    });
    let reason = scene.service("job")["reason"].to_string();
    assert!(reason.contains("exited with 7"), "{reason}");
    assert_eq!(fs::read_to_string(scene.path("jobs")).unwrap(), "once\n");
    expect_no_gap(&scene);
    let events = scene.run(["events"]).success().stdout;
    assert_eq!(events.matches("handed over").count(), 3, "{events}");
    scene.run(["down"]).success();
    scene.end();
}

/// An upgrade is no loss; a killed supervisor is one.
#[test]
fn who_does_not_want_to_outlive_its_supervisor_is_started_anew() {
    let scene = Scene::new(
        r#"
services:
  stays: {command: [sleep, "100000"]}
  goes: {command: "setsid sleep 100000 & echo $! >> left; exec sleep 100000", on_supervisor_loss: stop}
"#,
    );
    scene.run(["up"]).success();
    let (stays, goes) = (scene.pid("stays"), scene.pid("goes"));
    let left: i32 = wait_for_file(&scene.path("left")).trim().parse().unwrap();
    scene.run(["upgrade"]).success();
    assert_eq!((scene.pid("stays"), scene.pid("goes")), (stays, goes));
    scene.kill_supervisor();
    scene.run(["up"]).success();
    assert_eq!(scene.pid("stays"), stays);
    assert_ne!(scene.pid("goes"), goes);
    assert!(!is_alive(goes) && !is_alive(left));
    assert_eq!(scene.service("goes")["state"], "ready");
    let events = scene.run(["events", "goes"]).success().stdout;
    assert!(events.contains("its supervisor was killed"), "{events}");
    scene.run(["down"]).success();
    scene.end();
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing() {
    let scene = Scene::new(MANIFEST);
    scene.run(["up", "--no-wait"]).success();
    let supervisor = scene.supervisor();
    let broken = scene.path("broken");
    fs::write(&broken, "#!/bin/sh\necho 'something else 1.0'\n").unwrap();
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let hollow = scene.path("hollow");
    fs::write(&hollow, "#!/bin/sh\necho baudbot 9.9.9\n").unwrap();
    fs::set_permissions(&hollow, fs::Permissions::from_mode(0o755)).unwrap();
    for (program, why) in [
        ("broken", "something else 1.0"),
        ("hollow", "cannot be asked to hand over"),
        ("missing", "No such file"),
    ] {
        let refused = scene.run(["upgrade", program]).code(1).stderr;
        assert!(refused.contains(why), "{refused}");
        assert!(refused.contains("nothing has changed"), "{refused}");
    }
    assert_eq!(scene.supervisor(), supervisor);
    scene.end();
}

#[test]
fn without_a_supervisor_there_is_nothing_to_upgrade() {
    let scene = Scene::new(MANIFEST);
    let refused = scene.run(["upgrade"]).code(3).stderr;
    assert!(refused.contains("baudbot up"), "{refused}");
    scene.end();
}

/// In the foreground it stays the same process: a service manager keeps its main process.
#[test]
fn in_the_foreground_the_process_stays() {
    let scene = Scene::new("services: {a: {command: [sleep, \"100000\"]}}");
    let child = scene.command(["up", "--foreground"]).spawn().unwrap();
    wait_until("it is up", || {
        scene.run(["status"]).code == Some(0) && scene.service("a")["state"] == "ready"
    });
    let (a, supervisor) = (scene.pid("a"), scene.supervisor());
    assert_eq!(supervisor, child.id().cast_signed());
    scene.run(["upgrade"]).success();
    assert_eq!((scene.pid("a"), scene.supervisor()), (a, supervisor));
    scene.run(["down"]).success();
    assert_eq!(finish(child).code, Some(0));
    scene.end();
}
