//! The main job with real processes: up, restart, edit, down, and what becomes of all that when
//! something goes wrong in between.

mod scene;

use scene::{Scene, is_alive, kill, wait_for_file, wait_until};

/// A service that ends well on TERM.
const STEADY: &str =
    r#"[sh, -c, "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"]"#;

#[test]
fn services_come_up_in_order_and_go_in_reverse() {
    let scene = Scene::new(&format!(
        r#"
services:
  prepare: {{type: task, command: "echo prepare >> order"}}
  db:
    command: "echo db >> order; trap 'echo db-down >> order; exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done"
    depends_on: [prepare]
    ready: {{log: ^ready$}}
  web:
    command: "echo web >> order; trap 'echo web-down >> order; exit 0' TERM; while :; do sleep 1000 & wait; done"
    depends_on: [db]
  other: {{command: {STEADY}}}
"#
    ));
    scene.run(["up"]).success();
    scene.expect_state("prepare", "completed");
    scene.expect_state("db", "ready");
    scene.expect_state("web", "ready");
    scene.expect_state("other", "ready");
    wait_until("web has begun", || {
        wait_for_file(&scene.path("order")).contains("web")
    });
    let again = scene.run(["up"]).success();
    let (db, web) = (scene.pid("db"), scene.pid("web"));
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    scene.run(["down"]).success();
    let order = wait_for_file(&scene.path("order"));
    let order: Vec<&str> = order.lines().collect();
    assert_eq!(order, ["prepare", "db", "web", "web-down", "db-down"]);
    assert!(!is_alive(db) && !is_alive(web));
    scene.end();
}

#[test]
fn down_twice_is_down_once() {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    scene.run(["up"]).success();
    scene.run(["down"]).success();
    scene.expect_nothing_left();
    scene.run(["down"]).success();
    scene.run(["status"]).code(3);
    scene.end();
}

#[test]
fn an_edit_restarts_what_changed_and_leaves_the_rest_alone() {
    let scene = Scene::new(&format!(
        "services: {{same: {{command: {STEADY}}}, changed: {{command: {STEADY}}}, gone: {{command: {STEADY}}}}}"
    ));
    scene.run(["up"]).success();
    let (same, changed, gone) = (scene.pid("same"), scene.pid("changed"), scene.pid("gone"));
    scene.edit(&format!(
        "services: {{same: {{command: {STEADY}}}, changed: {{command: {STEADY}, env: {{A: b}}}}, new: {{command: {STEADY}}}}}"
    ));
    let plan = scene.run(["plan", "--json"]).success().json();
    let steps: Vec<String> = plan["waves"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|wave| wave.as_array().unwrap())
        .map(|step| {
            format!(
                "{} {}",
                step["action"].as_str().unwrap(),
                step["service"].as_str().unwrap()
            )
        })
        .collect();
    for expected in ["keep same", "restart changed", "start new", "stop gone"] {
        assert!(steps.contains(&expected.to_owned()), "{expected}: {plan}");
    }
    assert!(plan.to_string().contains("env.A"), "{plan}");
    scene.run(["up"]).success();
    assert_eq!(scene.pid("same"), same);
    assert_ne!(scene.pid("changed"), changed);
    assert!(!is_alive(changed) && !is_alive(gone));
    scene.expect_state("new", "ready");
    assert!(scene.service("gone").is_null());
    scene.end();
}

#[test]
fn a_crash_is_followed_by_a_new_run_and_leaves_no_straggler() {
    let scene = Scene::new(
        r#"
services:
  a:
    command: "sleep 1000 & echo $! > straggler; echo $$ >> runs; exec sleep 1000"
    restart: {delay: 10ms}
"#,
    );
    scene.run(["up"]).success();
    let straggler: i32 = wait_for_file(&scene.path("straggler"))
        .trim()
        .parse()
        .unwrap();
    kill(scene.pid("a"), 9);
    wait_until("a second run", || {
        wait_for_file(&scene.path("runs")).lines().count() == 2
    });
    wait_until("it is ready again", || {
        scene.service("a")["state"] == "ready"
    });
    assert!(!is_alive(straggler));
    assert_eq!(scene.service("a")["restarts"], 1);
    scene.end();
}

#[test]
fn what_keeps_failing_is_given_up_and_what_needs_it_is_blocked() {
    let scene = Scene::new(
        r#"
services:
  bad: {command: "echo broken; exit 3", restart: {delay: 1ms, max_failures: 3}, ready: {file: never}}
  needs: {command: [sleep, "1000"], depends_on: [bad]}
  fine: {command: [sleep, "1000"]}
"#,
    );
    let up = scene.run(["up"]).code(1);
    scene.expect_state("bad", "failed");
    scene.expect_state("needs", "blocked");
    scene.expect_state("fine", "ready");
    let text = up.stdout + &up.stderr;
    assert!(
        text.contains("broken"),
        "the last lines of its log are shown: {text}"
    );
    scene.end();
}

#[test]
fn a_missing_executable_blocks_and_says_what_was_looked_for() {
    let scene = Scene::new("services: {a: {command: [no-such-program]}}");
    scene.run(["up"]).code(5);
    scene.expect_state("a", "blocked");
    let reason = scene.service("a")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("no-such-program"), "{reason}");
    scene.end();
}

#[test]
fn a_stage_of_the_start_that_fails_is_named() {
    let scene = Scene::new(
        "services: {a: {command: [sleep, '1'], working_dir: missing}, b: {command: [./text]}}",
    );
    std::fs::write(scene.path("text"), "no program").unwrap();
    scene.run(["up"]).code(5);
    let reason = |name: &str| scene.service(name)["reason"].as_str().unwrap().to_owned();
    assert!(
        reason("a").contains("missing does not exist"),
        "{}",
        reason("a")
    );
    assert!(
        reason("b").contains("the executable `./text`: permission denied"),
        "{}",
        reason("b")
    );
    scene.end();
}

#[test]
fn what_ignores_term_is_killed_when_its_grace_is_over() {
    let scene = Scene::new(
        r#"services: {a: {command: "trap '' TERM; echo up > up; while :; do sleep 0.05; done", stop: {timeout: 200ms}}}"#,
    );
    scene.run(["up"]).success();
    wait_for_file(&scene.path("up"));
    scene.end();
}

#[test]
fn down_now_does_not_wait_for_the_grace() {
    let scene = Scene::new(
        r#"services: {a: {command: "trap '' TERM; echo up > up; while :; do sleep 0.05; done", stop: {timeout: 1h}}}"#,
    );
    scene.run(["up"]).success();
    wait_for_file(&scene.path("up"));
    scene.run(["down", "--now"]).success();
    scene.end();
}

#[test]
fn a_tmux_session_is_a_service_like_any_other() {
    let scene = Scene::new(
        r#"
tmux: {prefix: t-}
services:
  a:
    type: tmux
    command: "echo first-line; echo $SECRET > secret; trap 'echo bye > bye; exit 0' TERM; while :; do sleep 1000 & wait; done"
    env: {SECRET: hidden}
    ready: {log: first-line}
"#,
    );
    scene.run(["up"]).success();
    assert_eq!(scene.service("a")["session"], "t-a");
    let sessions = scene
        .tmux(["list-sessions", "-F", "#{session_name}"])
        .success()
        .stdout;
    assert_eq!(sessions.trim(), "t-a");
    assert_eq!(wait_for_file(&scene.path("secret")).trim(), "hidden");
    let leaked = scene.tmux(["show-environment", "-g"]).success().stdout;
    assert!(!leaked.contains("hidden"), "{leaked}");
    assert!(scene.logs("a").contains("first-line"));
    let first = scene.pid("a");
    scene.run(["restart", "a"]).success();
    assert_ne!(scene.pid("a"), first);
    assert_eq!(wait_for_file(&scene.path("bye")).trim(), "bye");
    scene.end();
}

#[test]
fn the_exit_of_a_session_is_known_and_counts() {
    let scene = Scene::new(
        "services: {a: {type: tmux, command: [sh, -c, 'sleep 0.1; exit 7'], restart: never, ready: {file: never}}}",
    );
    scene.run(["up"]).code(1);
    let reason = scene.service("a")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains('7'), "{reason}");
    scene.end();
}

#[test]
fn a_killed_supervisor_leaves_nothing_that_down_does_not_find() {
    let scene = Scene::new(&format!(
        "services: {{a: {{command: {STEADY}}}, b: {{type: tmux, command: {STEADY}}}, c: {{command: 'sleep 1000 & wait'}}}}"
    ));
    scene.run(["up"]).success();
    let (a, b) = (scene.pid("a"), scene.pid("b"));
    scene.kill_supervisor();
    assert!(is_alive(a) && is_alive(b));
    scene.run(["down"]).success();
    assert!(!is_alive(a) && !is_alive(b));
    scene.end();
}

#[test]
fn up_after_a_killed_supervisor_takes_over_what_runs() {
    let scene = Scene::new(&format!(
        "services: {{a: {{command: {STEADY}}}, b: {{type: tmux, command: {STEADY}}}}}"
    ));
    scene.run(["up"]).success();
    let (a, b) = (scene.pid("a"), scene.pid("b"));
    scene.kill_supervisor();
    let up = scene.run(["up"]).success();
    assert!(up.stderr.contains("taken over"), "{}", up.stderr);
    assert_eq!((scene.pid("a"), scene.pid("b")), (a, b));
    scene.expect_state("a", "ready");
    scene.expect_state("b", "ready");
    scene.end();
}

#[test]
fn two_ups_at_once_end_in_one_project() {
    let scene = Scene::new(&format!(
        "services: {{a: {{command: {STEADY}}}, b: {{command: {STEADY}, depends_on: [a]}}}}"
    ));
    let children: Vec<_> = (0..4)
        .map(|_| scene.command(["up"]).spawn().unwrap())
        .collect();
    for child in children {
        scene::finish(child).success();
    }
    scene.expect_state("b", "ready");
    scene.end();
}

#[test]
fn the_supervisor_stands_apart_from_the_terminal_and_holds_nothing_of_it() {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    // If the supervisor or a service held the pipes of `up`, this would not end.
    scene.run(["up"]).success();
    let supervisor = scene.supervisor();
    let stat = std::fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        fields[3],
        supervisor.to_string(),
        "a session of its own: {stat}"
    );
    assert_eq!(fields[4], "0", "no terminal: {stat}");
    let null = std::fs::read_link(format!("/proc/{}/fd/0", scene.pid("a"))).unwrap();
    assert_eq!(null, std::path::Path::new("/dev/null"));
    scene.end();
}

#[test]
fn a_group_is_taken_down_and_up_by_its_name() {
    let scene = Scene::new(&format!(
        "groups: {{g: {{}}}}\nservices: {{a: {{command: {STEADY}, groups: [g]}}, b: {{command: {STEADY}, groups: [g]}}, c: {{command: {STEADY}}}, d: {{command: {STEADY}, depends_on: [a]}}}}"
    ));
    scene.run(["up"]).success();
    let c = scene.pid("c");
    scene.run(["down", "@g"]).success();
    for name in ["a", "b", "d"] {
        scene.expect_state(name, "inactive");
    }
    assert_eq!(scene.pid("c"), c);
    scene.run(["up", "@g"]).success();
    scene.expect_state("a", "ready");
    scene.expect_state("d", "inactive");
    scene.run(["up", "nobody"]).code(2);
    scene.end();
}

#[test]
fn two_manifests_with_one_project_name_do_not_fight() {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    scene.run(["up"]).success();
    let a = scene.pid("a");
    std::fs::write(
        scene.path("other.yaml"),
        format!("version: 1\nproject: scene\nservices: {{b: {{command: {STEADY}}}}}"),
    )
    .unwrap();
    let refused = scene.run(["up", "-f", "other.yaml"]).code(5);
    assert!(refused.stderr.contains("other.yaml"), "{}", refused.stderr);
    assert_eq!(scene.pid("a"), a);
    scene.end();
}

#[test]
fn down_works_while_the_manifest_is_broken() {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    scene.run(["up"]).success();
    scene.edit("services: {a: {comand: x}}");
    scene.run(["up"]).code(78);
    scene.expect_state("a", "ready");
    scene.end();
}

#[test]
fn a_service_gets_an_environment_made_from_nothing() {
    let mut scene = Scene::new(
        r#"
env: {TOP: "1"}
services:
  a: {type: task, command: "env > all", env: {OWN: "2"}, env_inherit: [WANTED]}
"#,
    );
    scene.set("WANTED", "yes");
    scene.set("UNWANTED", "no");
    scene.run(["up"]).success();
    let all = wait_for_file(&scene.path("all"));
    for expected in ["TOP=1", "OWN=2", "WANTED=yes", "BAUDBOT_SERVICE=a"] {
        assert!(
            all.lines().any(|line| line == expected),
            "{expected}: {all}"
        );
    }
    assert!(!all.contains("UNWANTED"), "{all}");
    scene.end();
}
