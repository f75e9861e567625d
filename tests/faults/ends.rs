//! How the end of a run is judged, and what is told of it.

use crate::scene::Scene;

#[test]
fn a_list_of_good_exits_without_0_makes_0_a_failure() {
    let scene = Scene::new(
        "services:\n  seven: {type: task, command: exit 7, success_exit: [7]}\n  \
         zero: {type: task, command: exit 0, success_exit: [7]}\n",
    );
    let up = scene.run(["up"]).code(1);
    scene.expect_state("seven", "completed");
    scene.expect_state("zero", "failed");
    assert!(
        up.stderr
            .contains("exited with 0, which `success_exit` does not name"),
        "{}",
        up.stderr
    );
    scene.end();
}

/// What a run left behind is told wherever its end is told.
#[track_caller]
fn expect_told(scene: &Scene, name: &str, up: &str) {
    assert!(up.contains("warning[run::left_behind]"), "{up}");
    assert!(
        up.contains("(sleep 1234)") && up.contains("type: process"),
        "{up}"
    );
    let status = scene.service(name);
    assert_eq!(status["left_behind"]["count"], 1, "{status}");
    assert_eq!(
        status["left_behind"]["processes"][0]["command"],
        "sleep 1234"
    );
    let why = scene.run(["why", name]).stdout;
    let events = scene.run(["events"]).stdout;
    let (status, logs) = (scene.run(["status"]).stdout, scene.logs(name));
    for told in [why, status, events, logs] {
        let told = told.replace('\n', " ");
        assert!(told.contains("sleep 1234"), "{told}");
    }
}

#[test]
fn a_task_that_starts_a_daemon_tells_that_it_is_ended() {
    let scene = Scene::new(
        "services:\n  db: {type: task, command: 'setsid sleep 1234 & echo started'}\n  \
         app: {command: [sleep, '1000'], depends_on: [db]}\n",
    );
    let up = scene.run(["up"]).success();
    scene.expect_state("db", "completed");
    expect_told(&scene, "db", &up.stderr);
    // Nothing is started, so there is nothing to warn of again; but it is still known, also to the
    // next supervisor.
    let again = scene.run(["up"]).success();
    assert!(!again.stderr.contains("left_behind"), "{}", again.stderr);
    scene.crash_supervisor();
    scene.run(["up"]).success();
    assert_eq!(scene.service("db")["left_behind"]["count"], 1);
    scene.end();
}

#[test]
fn a_server_that_puts_itself_into_the_background_tells_that_it_is_ended() {
    let scene = Scene::new(
        "services: {web: {command: 'setsid sleep 1234 & exit 0', ready: {file: /nowhere/at/all}}}",
    );
    let up = scene.run(["up"]).code(1);
    expect_told(&scene, "web", &up.stderr);
    let reason = scene.service("web")["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("exited with 0 before it was ready; it left 1 process behind"),
        "{reason}"
    );
    scene.end();
}

#[test]
fn what_ends_by_itself_with_its_leader_is_not_left_behind() {
    let scene = Scene::new(
        "services: {a: {type: task, command: '(sleep 0.02; echo last words) & exit 0'}}",
    );
    let up = scene.run(["up"]).success();
    assert!(!up.stderr.contains("left_behind"), "{}", up.stderr);
    assert!(scene.logs("a").contains("last words"));
    scene.end();
}
