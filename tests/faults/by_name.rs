//! `-p NAME` and BAUDBOT_PROJECT where no manifest lies: the one that the project runs from is read.

use std::fs;

use crate::scene::{Outcome, Scene, finish, wait_for_file};

/// Runs `baudbot WORDS` where no manifest is, with these variables.
#[track_caller]
fn elsewhere(scene: &Scene, words: &str, variables: &[(&str, &str)]) -> Outcome {
    let mut command = scene.command(words.split(' '));
    command.envs(variables.iter().copied());
    finish(command.current_dir(scene.home()).spawn().unwrap())
}

#[test]
fn every_command_finds_the_manifest_by_the_name_of_the_project() {
    let scene =
        Scene::new("services: {a: {command: [sleep, '1000']}, b: {command: [sleep, '1000']}}");
    scene.run(["up", "a"]).success();
    let by_name = |words: &str| elsewhere(&scene, words, &[("BAUDBOT_PROJECT", "scene")]);
    for words in [
        "validate",
        "plan",
        "graph",
        "config",
        "exec a -- true",
        "start b",
        "restart a",
        "up",
        "up --dry-run",
        "status",
        "why a",
    ] {
        elsewhere(&scene, &format!("-p scene {words}"), &[]).success();
        by_name(words).success();
    }
    // It is read again.
    scene.edit("services: {a: {command: [sleep, '1000']}, c: {command: [sleep, '1000']}}");
    by_name("up").success();
    scene.expect_state("c", "ready");
    // Its name brings it back when its supervisor was killed, and when it is down.
    scene.kill_supervisor();
    by_name("up").success();
    by_name("down").success();
    let up = by_name("up").success();
    assert!(up.stderr.contains("2 services up"), "{up:?}");
    let unknown = elsewhere(&scene, "-p nowhere up", &[]).code(78);
    assert!(
        unknown
            .stderr
            .contains("nothing is known of a project `nowhere`")
    );
    scene.end();
}

#[test]
fn the_name_that_is_typed_counts_more_than_the_manifest_that_lies_here() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    fs::create_dir(scene.path("two")).unwrap();
    let other = "version: 1\nproject: other\nservices: {x: {command: [sleep, '1000']}}";
    fs::write(scene.path("two/baudbot.yaml"), other).unwrap();
    scene.run(["up"]).success();
    let graph = |variables: &[(&str, &str)], words: &str| {
        let mut command = scene.command(words.split(' '));
        command.envs(variables.iter().copied());
        let child = command.current_dir(scene.path("two")).spawn();
        finish(child.unwrap()).success().stdout
    };
    assert!(graph(&[], "graph").starts_with('x'));
    assert!(graph(&[], "-p scene graph").starts_with('a'));
    assert!(graph(&[("BAUDBOT_PROJECT", "scene")], "graph").starts_with('a'));
    let file = scene.path("baudbot.yaml").display().to_string();
    assert!(graph(&[("BAUDBOT_FILE", &file)], "graph").starts_with('a'));
    // What the supervisor tells to a service counts less: a service that works in another checkout
    // means that one.
    let told = [
        ("BAUDBOT_PROJECT", "scene"),
        ("BAUDBOT_FILE", &file),
        ("BAUDBOT_SERVICE", "a"),
    ];
    assert!(graph(&told, "graph").starts_with('x'));
    scene.end();
}

#[test]
fn a_service_starts_another_one_from_wherever_it_works() {
    let scene = Scene::new(
        r#"
templates:
  dev: {command: [sleep, "1000"]}
services:
  agent:
    command: |
      cd "$HOME" && "$PROGRAM" start dev@x > "$OUT.new" 2>&1; echo "exit $?" >> "$OUT.new"
      echo "$BAUDBOT_FILE" >> "$OUT.new"; mv "$OUT.new" "$OUT"; exec sleep 1000
    env_inherit: [PROGRAM, OUT]
"#,
    );
    let mut up = scene.command(["up"]);
    up.env("PROGRAM", scene.executable())
        .env("OUT", scene.path("out"));
    finish(up.spawn().unwrap()).success();
    let told = wait_for_file(&scene.path("out"));
    assert!(told.contains("exit 0"), "{told}");
    assert!(
        told.contains(&scene.path("baudbot.yaml").display().to_string()),
        "{told}"
    );
    scene.expect_state("dev@x", "ready");
    scene.end();
}
