//! `depends_on`.

use crate::STEADY;
use crate::scene::{Scene, is_alive, kill, wait_until};

#[test]
fn who_follows_gets_a_new_run_along_with_what_it_depends_on() {
    let scene = Scene::new(&format!(
        r"
defaults: {{restart: {{delay: 10ms}}}}
services:
  db: {{command: {STEADY}}}
  web: {{command: {STEADY}, depends_on: {{db: {{restart: true}}}}}}
  edge: {{command: {STEADY}, depends_on: {{web: {{restart: true}}}}}}
  loose: {{command: {STEADY}, depends_on: [db]}}
"
    ));
    scene.run(["up"]).success();
    let (web, edge, loose) = (scene.pid("web"), scene.pid("edge"), scene.pid("loose"));
    let restart = scene.run(["restart", "db"]).success();
    assert!(
        restart.stderr.contains("follows `db`, which is restarted")
            && restart.stderr.contains("follows `web`, which is restarted"),
        "{}",
        restart.stderr
    );
    assert_ne!(scene.pid("web"), web);
    assert_ne!(scene.pid("edge"), edge);
    assert_eq!(scene.pid("loose"), loose);

    // By its restart policy.
    let (web, edge) = (scene.pid("web"), scene.pid("edge"));
    kill(scene.pid("db"), 9);
    wait_until("all who follow were restarted", || {
        let restarts = |name: &str| scene.service(name)["restarts"] == 1;
        restarts("db") && restarts("web") && restarts("edge")
    });
    wait_until("they are ready", || {
        ["db", "web", "edge"]
            .iter()
            .all(|name| scene.service(name)["state"] == "ready")
    });
    assert!(!is_alive(web) && !is_alive(edge));
    assert_eq!(scene.pid("loose"), loose);
    scene.end();
}

#[test]
fn who_follows_goes_on_when_what_it_depends_on_does_not_come_back() {
    let scene = Scene::new(&format!(
        r#"
services:
  db: {{command: "test -e gone && exit 1; trap 'exit 0' TERM; sleep 1000 & wait", ready: {{exec: "test ! -e gone"}}, restart: {{delay: 10ms, max_failures: 2}}}}
  web: {{command: {STEADY}, depends_on: {{db: {{condition: ready, restart: true}}}}}}
"#
    ));
    scene.run(["up"]).success();
    let web = scene.pid("web");
    std::fs::write(scene.path("gone"), "").unwrap();
    kill(scene.pid("db"), 9);
    wait_until("`db` is given up", || {
        scene.service("db")["state"] == "failed"
    });
    scene.expect_state("web", "ready");
    assert_eq!(scene.pid("web"), web);
    scene.end();
}

#[test]
fn what_is_not_required_is_waited_for_and_no_more() {
    let scene = Scene::new(&format!(
        r#"
services:
  missing: {{command: [./no-such-program]}}
  fails: {{type: task, command: "sleep 0.2; touch over; exit 3"}}
  elsewhere: {{command: {STEADY}, when: {{env: NOT_SET_ANYWHERE}}}}
  web:
    command: [sh, -c, "test -e over && touch came-after; exec sleep 1000"]
    depends_on:
      missing: {{required: false}}
      fails: {{condition: completed, required: false}}
      elsewhere: {{required: false}}
"#
    ));
    scene.run(["up"]).code(1);
    scene.expect_state("missing", "blocked");
    scene.expect_state("fails", "failed");
    scene.expect_state("elsewhere", "skipped");
    scene.expect_state("web", "ready");
    wait_until("it came after the task", || {
        scene.path("came-after").exists()
    });
    scene.end();
}
