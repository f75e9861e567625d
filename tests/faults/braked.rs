//! What goes on for ever does not keep a host busy, and is told once.

use crate::scene::{Scene, wait_until};

#[test]
fn a_service_that_ends_at_once_and_is_never_given_up_is_restarted_more_slowly() {
    let scene = Scene::new(
        "services: {a: {command: exit 1, restart: {delay: 0s, max_failures: never, jitter: 1}}}",
    );
    let validated = scene.run(["validate"]).success();
    let told = format!("{}{}", validated.stdout, validated.stderr);
    assert!(told.contains("endless_restarts"), "{told}");
    scene.run(["up", "--no-wait"]).success();
    wait_until("it was restarted again and again", || {
        scene.service("a")["restarts"].as_u64() >= Some(9)
    });
    let events = scene.run(["events"]).success().stdout;
    let told = events.matches("a few times a second at most").count();
    assert_eq!(told, 1, "{events}");
    scene.end();
}

#[test]
fn an_export_that_flaps_restarts_its_dependents_a_few_times_only() {
    let scene = Scene::new(
        r#"
services:
  flaps:
    command: "n=0; while :; do n=$((n+1)); echo $n > new; mv new value; sleep 0.02; done"
    exports: {number: {file: value}}
    ready: {file: value}
  follows:
    command: sleep 1000
    env: {NUMBER: "${flaps.number}"}
"#,
    );
    scene.run(["up", "--no-wait"]).success();
    let log = || std::fs::read_to_string(scene.state_dir().join("supervisor.log")).unwrap();
    wait_until("it is held back", || log().contains("again and again"));
    let restarts = || scene.service("follows")["restarts"].as_u64().unwrap();
    let before = restarts();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(restarts() <= before + 3, "{before} and then {}", restarts());
    assert_eq!(log().matches("again and again").count(), 1);
    scene.end();
}
