//! What a service needs before it starts.

use crate::STEADY;
use crate::scene::{Scene, append};

#[test]
fn all_that_is_missing_is_told_at_once_and_the_rest_goes_on() {
    let scene = Scene::new(&format!(
        r#"
services:
  all: {{command: [no-such-program], working_dir: nowhere, env_files: gone.env, env: {{A: "${{NOT_SET:?ask the admin}}"}}}}
  program: {{command: [./no-such-program]}}
  hook: {{command: {STEADY}, hooks: {{before_start: [no-such-hook]}}, stop: {{command: [no-such-stop]}}}}
  made: {{command: [./made], hooks: {{before_start: "printf '#!/bin/sh\nexec sleep 1000\n' > made; chmod +x made"}}}}
  needs: {{command: {STEADY}, depends_on: [program]}}
  lone: {{command: {STEADY}}}
"#
    ));
    let up = scene.run(["up"]).code(5);
    assert!(up.stderr.contains("ask the admin"), "{}", up.stderr);
    let reason = |name: &str| scene.service(name)["reason"].as_str().unwrap().to_owned();
    let all = reason("all");
    for part in ["ask the admin", "gone.env", "/nowhere does not exist"] {
        assert!(all.contains(part), "{all}");
    }
    for word in ["`no-such-hook`", "`no-such-stop`"] {
        assert!(reason("hook").contains(word), "{}", reason("hook"));
    }
    scene.expect_state("made", "ready");
    for name in ["all", "program", "hook", "needs"] {
        scene.expect_state(name, "blocked");
        assert_eq!(scene.service(name)["restarts"], 0);
    }
    assert!(reason("program").contains("`./no-such-program`: no such file or directory"));
    scene.expect_state("lone", "ready");
    // Nothing was spawned: it has never been asked to run anything.
    assert_eq!(scene.logs("program"), "");
    scene.end();
}

#[test]
fn what_was_mended_is_seen_by_the_next_up_and_by_restart() {
    let scene = Scene::new(&format!(
        r"
services:
  a: {{command: {STEADY}, env_files: a.env}}
  b: {{command: {STEADY}, working_dir: there}}
"
    ));
    scene.run(["up"]).code(5);
    scene.expect_state("a", "blocked");
    scene.expect_state("b", "blocked");
    append(&scene.path("a.env"), "A=1\n");
    scene.run(["up"]).code(5);
    scene.expect_state("a", "ready");
    std::fs::create_dir(scene.path("there")).unwrap();
    scene.run(["restart", "b"]).success();
    scene.expect_state("b", "ready");
    scene.end();
}

#[test]
fn what_runs_is_not_given_up_for_a_run_that_could_not_start() {
    let mut scene = Scene::new(&format!(
        r#"services: {{a: {{command: {STEADY}, env: {{A: "${{FROM_OUTSIDE}}"}}}}}}"#
    ));
    scene.set("FROM_OUTSIDE", "one");
    scene.run(["up"]).success();
    let pid = scene.pid("a");
    scene.set("FROM_OUTSIDE", "two");
    let without = |arguments: &[&str]| {
        let mut command = scene.command(arguments);
        command.env_remove("FROM_OUTSIDE");
        crate::scene::finish(command.spawn().unwrap())
    };
    for arguments in [&["up"][..], &["restart", "a"]] {
        let kept = without(arguments).code(5);
        assert!(
            kept.stderr.contains("needs the variable `FROM_OUTSIDE`"),
            "{}",
            kept.stderr
        );
        assert_eq!(scene.pid("a"), pid);
    }
    let plan = without(&["plan"]).success().stdout;
    assert!(plan.contains("could not be started anew"), "{plan}");
    scene.run(["up"]).success();
    assert_ne!(scene.pid("a"), pid);
    scene.end();
}
