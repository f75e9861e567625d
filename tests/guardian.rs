//! The guardian: whom it brings back and whom it does not, and what it and the supervisor survive.

mod scene;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use scene::{Scene, finish, is_alive, kill, wait_for_file, wait_until};

/// A service that ends well on TERM.
const STEADY: &str =
    r#"[sh, -c, "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"]"#;

fn steady() -> Scene {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    scene.run(["up"]).success();
    scene
}

/// The numbered field of `/proc/PID/stat`, counted as in `proc_pid_stat(5)`.
fn stat_field(pid: i32, number: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let field = rest.split_whitespace().nth(number - 3);
    field.unwrap_or_default().to_owned()
}

/// The supervisor that answers, if it is not `before`.
fn another_supervisor(scene: &Scene, before: i32) -> Option<i32> {
    let pid = scene.status()["supervisor"]["pid"].as_i64()?;
    i32::try_from(pid).ok().filter(|pid| *pid != before)
}

#[test]
fn the_guardian_is_the_supervisor_s_parent_small_and_apart_from_everything() {
    let scene = steady();
    let (guardian, supervisor) = (scene.guardian(), scene.supervisor());
    assert_eq!(
        stat_field(supervisor, 4),
        guardian.to_string(),
        "its parent"
    );
    assert_eq!(stat_field(guardian, 6), guardian.to_string(), "its session");
    assert_eq!(stat_field(guardian, 7), "0", "no terminal");
    assert_eq!(stat_field(guardian, 20), "1", "threads");
    let open = |number: i32| fs::read_link(format!("/proc/{guardian}/fd/{number}")).unwrap();
    assert_eq!(open(0), Path::new("/dev/null"));
    assert_eq!(open(1), Path::new("/dev/null"));
    assert_eq!(open(2), scene.state_dir().join("supervisor.log"));
    let fifos = scene.runtime_dir().join("output");
    let held = || {
        let open = fs::read_dir(format!("/proc/{guardian}/fd")).unwrap();
        let mut held: Vec<_> = open
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|path| path.starts_with(&fifos))
            .collect();
        held.sort();
        held
    };
    wait_until("the guardian holds the service's FIFOs", || {
        held() == [fifos.join("a.stderr"), fifos.join("a.stdout")]
    });
    let open = fs::read_dir(format!("/proc/{guardian}/fd")).unwrap();
    // The standard streams, the FIFOs, and the watch on their directory.
    assert_eq!(open.count(), 3 + 2 + 1);
    scene.run(["down"]).success();
    assert!(!is_alive(guardian) && !is_alive(supervisor));
    scene.end();
}

#[test]
fn a_supervisor_that_crashes_comes_back_under_the_same_guardian() {
    let scene = steady();
    let (guardian, supervisor, service) = (scene.guardian(), scene.supervisor(), scene.pid("a"));
    scene.crash_supervisor();
    wait_until("another supervisor", || {
        another_supervisor(&scene, supervisor).is_some()
    });
    assert_eq!(scene.guardian(), guardian);
    let log = fs::read_to_string(scene.state_dir().join("supervisor.log")).unwrap();
    let told = format!("guardian: supervisor {supervisor} was ended by signal 9");
    assert!(log.contains(&told), "{log}");
    let time = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ").unwrap();
    let line = log.lines().find(|line| line.contains(&told)).unwrap();
    assert!(time.is_match(line), "{line}");
    assert_eq!(scene.pid("a"), service);
    assert_eq!(scene.service("a")["restarts"], 0);
    scene.end();
}

#[test]
fn a_supervisor_comes_back_although_its_file_was_replaced_by_one_that_cannot_run() {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    let program = scene.path("baudbot");
    fs::copy(env!("CARGO_BIN_EXE_baudbot"), &program).unwrap();
    let mut up = scene.program(program.to_str().unwrap());
    finish(up.arg("up").spawn().unwrap()).success();
    let supervisor = scene.supervisor();
    fs::write(scene.path("broken"), "no program").unwrap();
    fs::set_permissions(scene.path("broken"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(scene.path("broken"), &program).unwrap();
    scene.crash_supervisor();
    wait_until("another supervisor", || {
        another_supervisor(&scene, supervisor).is_some()
    });
    scene.end();
}

#[test]
fn a_signal_to_the_guardian_is_an_orderly_stop() {
    for signal in [15, 1, 2] {
        let scene = Scene::new(
            r#"services: {a: {command: "trap 'echo asked > asked; exit 0' TERM; echo > trapped; while :; do sleep 1000 & wait; done", ready: {file: trapped}}}"#,
        );
        scene.run(["up"]).success();
        let (guardian, service) = (scene.guardian(), scene.pid("a"));
        kill(guardian, signal);
        wait_until("the guardian has left", || !is_alive(guardian));
        assert!(!is_alive(service), "signal {signal}");
        assert_eq!(wait_for_file(&scene.path("asked")), "asked\n");
        scene.expect_nothing_left();
        scene.end();
    }
}

#[test]
fn a_supervisor_that_stands_still_is_no_crash_and_still_stops_in_order() {
    let scene = steady();
    let (guardian, supervisor) = (scene.guardian(), scene.supervisor());
    kill(supervisor, 19);
    wait_until("the supervisor stands still", || {
        stat_field(supervisor, 3) == "T"
    });
    kill(guardian, 15);
    wait_until("the guardian has left", || !is_alive(guardian));
    assert!(!is_alive(supervisor));
    scene.expect_nothing_left();
    scene.end();
}

#[test]
fn a_supervisor_whose_guardian_was_killed_takes_its_place() {
    let scene = steady();
    let (guardian, supervisor, service) = (scene.guardian(), scene.supervisor(), scene.pid("a"));
    kill(guardian, 9);
    wait_until("another supervisor", || {
        another_supervisor(&scene, supervisor).is_some()
    });
    assert_eq!(scene.guardian(), supervisor);
    assert_eq!(scene.pid("a"), service);
    scene.expect_state("a", "ready");
    // And that one does what a guardian does.
    let next = scene.supervisor();
    scene.crash_supervisor();
    wait_until("yet another supervisor", || {
        another_supervisor(&scene, next).is_some()
    });
    assert_eq!(scene.pid("a"), service);
    kill(supervisor, 15);
    wait_until("it has left", || !is_alive(supervisor));
    assert!(!is_alive(service));
    scene.expect_nothing_left();
    scene.end();
}

#[test]
fn whoever_finds_both_killed_is_told_what_runs_and_how_to_bring_supervision_back() {
    let scene = Scene::new(&format!(
        "services: {{a: {{command: {STEADY}}}, b: {{command: {STEADY}}}, never: {{command: {STEADY}, when: {{env: [NO_SUCH]}}}}, once: {{type: task, command: \":\"}}}}"
    ));
    scene.run(["up"]).success();
    let (a, b) = (scene.pid("a"), scene.pid("b"));
    scene.kill_supervisor();
    let status = scene.run(["status"]).code(1);
    let told = "scene: the supervisor was killed; 2 services run unsupervised\n";
    assert!(status.stdout.starts_with(told), "{}", status.stdout);
    let help =
        "`baudbot up` brings supervision back, and leaves them running; `baudbot down` ends them";
    assert!(status.stdout.contains(help), "{}", status.stdout);
    let status = scene.run(["status", "--json"]).code(1).json();
    assert!(status["supervisor"].is_null());
    assert_eq!(status["services"]["a"]["pid"], a);
    assert_eq!(status["services"]["a"]["state"], "ready");
    assert_eq!(status["services"]["once"]["state"], "completed");
    assert!(is_alive(a) && is_alive(b));
    scene.run(["up"]).success();
    assert_eq!((scene.pid("a"), scene.pid("b")), (a, b));
    let events = scene.run(["events"]).success().stdout;
    let told = "took over: running, taken over from the supervisor before: a, b";
    assert!(events.contains(told), "{events}");
    scene.run(["status"]).success();
    assert_eq!((scene.pid("a"), scene.pid("b")), (a, b));
    scene.end();
}

#[test]
fn a_command_does_not_wait_for_the_guardian_s_patience() {
    let scene = steady();
    let guardian = scene.guardian();
    // The first crash is followed at once, the second after a second, the third after two.
    for _ in 0..2 {
        let supervisor = scene.supervisor();
        scene.crash_supervisor();
        wait_until("another supervisor", || {
            another_supervisor(&scene, supervisor).is_some()
        });
    }
    scene.crash_supervisor();
    scene.run(["up"]).success();
    assert_eq!(scene.guardian(), guardian);
    scene.expect_state("a", "ready");
    scene.end();
}

#[test]
fn how_an_orphan_ended_is_written_down() {
    let scene = steady();
    let (service, supervisor) = (scene.pid("a"), scene.supervisor());
    let start_time: u64 = stat_field(service, 22).parse().unwrap();
    scene.crash_supervisor();
    wait_until("another supervisor", || {
        another_supervisor(&scene, supervisor).is_some()
    });
    kill(service, 9);
    let notes = scene.runtime_dir().join("orphans.jsonl");
    let mut found = None;
    wait_until("the guardian's note", || {
        found = fs::read_to_string(&notes)
            .unwrap_or_default()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|note| note["pid"] == service && note["start_time"] == start_time);
        found.is_some()
    });
    let found = found.unwrap();
    assert!(
        found["status"]["signal"].is_number() || found["status"]["code"].is_number(),
        "{found}"
    );
    scene.end();
}

#[test]
fn who_cannot_begin_leaves_no_guardian() {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    fs::create_dir_all(scene.state_dir()).unwrap();
    let newer = "{\"ledger\":{\"version\":1000000}}\n";
    fs::write(scene.state_dir().join("ledger.jsonl"), newer).unwrap();
    let refused = scene.run(["up"]).code(1);
    assert!(refused.stderr.contains("1000000"), "{}", refused.stderr);
    assert!(scene.processes().is_empty());
    fs::remove_file(scene.state_dir().join("ledger.jsonl")).unwrap();
    scene.run(["up"]).success();
    scene.end();
}
