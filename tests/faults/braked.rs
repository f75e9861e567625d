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
