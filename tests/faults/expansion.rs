//! What only a shell expands is told apart from what the manifest expands.

use super::scene::{Scene, wait_for_file};

#[test]
fn a_text_that_no_shell_reads_and_looks_as_if_one_did_is_warned_of() {
    let scene = Scene::new(
        r#"
services:
  a: {type: task, command: [echo, ~/skills, $HOME, "$(date)"]}
  b: {type: task, command: [sh, -c, "env"], env: {PATH: "$HOME/bin:$PATH"}}
  c: {type: task, command: [pwd], working_dir: "$HOME"}
  d: {command: [./x, ~bob/x], hooks: {before_start: [touch, ~/y]}}
"#,
    );
    let valid = scene.run(["validate"]).success();
    for expected in [
        "`command` of service `a` holds `~/`, which is not expanded",
        "write `${HOME}/…`",
        "`command` of service `a` holds `$HOME`, which is not expanded",
        "write `${HOME}`; `$$HOME` keeps it as it is",
        "`command` of service `a` holds `$(`, which is not expanded",
        "`env.PATH` of service `b` holds `$HOME`, which is not expanded",
        "`env.PATH` of service `b` holds `$PATH`, which is not expanded",
        "`working_dir` of service `c` holds `$HOME`, which is not expanded",
        "`command` of service `d` holds `~bob/`, which is not expanded",
        "`hooks.before_start` of service `d` holds `~/`, which is not expanded",
    ] {
        assert!(
            valid.stdout.contains(expected),
            "{expected}\n{}",
            valid.stdout
        );
    }
    let up = scene.run(["up", "b", "c"]).code(5);
    for (name, expected) in [
        (
            "b",
            "the executable `sh` is not in any directory of PATH (`$HOME` is not expanded here: write `${HOME}`)",
        ),
        (
            "c",
            "$HOME does not exist (`$HOME` is not expanded here: write `${HOME}`)",
        ),
    ] {
        let reason = scene.service(name)["reason"].to_string();
        assert!(reason.contains(expected), "{reason}\n{}", up.stderr);
    }
    scene.end();
}

/// `$$NAME` says that a `$` is meant; scripts are read by what runs them.
#[test]
fn what_is_meant_as_it_is_is_not_warned_of() {
    let scene = Scene::new(
        r#"
services:
  quiet:
    type: task
    command: "echo $HOME ~/x $(true)"
    env: {PRICE: "5$", LITERAL: "$$HOME", HERE: "${HOME}/x"}
  scripts: {type: task, command: [sh, -c, "echo $HOME $LITERAL > seen"], env: {LITERAL: "$$HOME"}}
  words: {type: task, command: [awk, "BEGIN { print $NF }"]}
"#,
    );
    let valid = scene.run(["validate"]).success();
    assert!(!valid.stdout.contains("not expanded"), "{}", valid.stdout);
    scene.run(["up"]).success();
    let home = scene.home();
    let seen = wait_for_file(&scene.path("seen"));
    assert_eq!(seen.trim(), format!("{} $HOME", home.display()));
    scene.end();
}

#[test]
fn the_program_of_a_list_may_be_a_path_in_the_home() {
    let scene = Scene::new(
        r#"
services:
  tool: {command: [~/bin/tool, "1000"], ready: {exec: [~/bin/true]}, stop: {command: [~/bin/true]}}
"#,
    );
    let bin = scene.home().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, program) in [("tool", "/bin/sleep"), ("true", "/bin/true")] {
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
    let up = scene.run(["up"]).success();
    assert!(!up.stderr.contains("not expanded"), "{}", up.stderr);
    scene.end();
}
