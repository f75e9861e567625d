//! `templates` and their instances.

use crate::STEADY;
use crate::scene::{Scene, is_alive, wait_for_file};

fn manifest(word: &str) -> String {
    format!(
        r#"
groups: {{agents: {{}}}}
services:
  lone: {{command: {STEADY}}}
templates:
  dev:
    description: works on one thing
    groups: [agents]
    command: "trap 'exit 0' TERM; echo {word} ${{instance}} $TREE $BRANCH > $TREE.ran; while :; do sleep 0.05; done"
    env: {{TREE: "${{param.tree}}", BRANCH: "${{param.branch}}"}}
    params:
      tree: {{pattern: "[a-z-]+"}}
      branch: {{default: main}}
    max_instances: 2
  pane:
    type: tmux
    session: pane-${{instance}}
    command: [sleep, "1000"]
  job: {{type: task, command: [test, -e, "${{param.file}}"], params: {{file: {{}}}}, restart: never}}
"#
    )
}

#[test]
fn an_instance_is_started_by_hand_with_what_it_is_given() {
    let scene = Scene::new(&manifest("one"));
    scene.run(["up"]).success();
    let status = scene.status();
    let names: Vec<&String> = status["services"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["lone"], "up starts none");
    scene
        .run(["start", "dev@repo-42", "--param", "tree=a"])
        .success();
    scene.run(["start", "pane@x"]).success();
    assert_eq!(
        wait_for_file(&scene.path("a.ran")).trim(),
        "one repo-42 a main"
    );
    let service = scene.service("dev@repo-42");
    assert_eq!(service["state"], "ready");
    assert_eq!(service["instance"]["params"]["tree"], "a");
    assert_eq!(scene.service("pane@x")["session"], "pane-x");
    let sessions = scene.tmux(["list-sessions", "-F", "#S"]).success().stdout;
    assert!(sessions.contains("pane-x"), "{sessions}");
    // An up leaves them alone, and an edit of the template reaches them.
    let (dev, pane) = (scene.pid("dev@repo-42"), scene.pid("pane@x"));
    scene.run(["up"]).success();
    assert_eq!(scene.pid("dev@repo-42"), dev);
    scene.edit(&manifest("two"));
    std::fs::remove_file(scene.path("a.ran")).unwrap();
    scene.run(["up"]).success();
    assert_eq!(
        wait_for_file(&scene.path("a.ran")).trim(),
        "two repo-42 a main"
    );
    assert_eq!(scene.pid("pane@x"), pane, "nothing of it changed");
    // A stopped one is gone, and no up brings it back.
    scene.run(["stop", "dev@repo-42"]).success();
    scene.run(["up"]).success();
    assert!(scene.service("dev@repo-42").is_null());
    scene.run(["stop", "@agents"]).success();
    scene.end();
    assert!(!is_alive(pane));
}

#[test]
fn no_more_than_there_may_be_and_nothing_that_does_not_fit() {
    let scene = Scene::new(&manifest("one"));
    scene.run(["up"]).success();
    let refused = |arguments: &[&str], code, words: &[&str]| {
        let refused = scene.run(arguments).code(code);
        for word in words {
            assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
        }
    };
    refused(&["start", "dv@a"], 2, &["no template `dv`", "`dev`"]);
    refused(
        &["start", "dev@a"],
        2,
        &["param `tree` is not given", "`tree` (required)"],
    );
    refused(
        &["start", "dev@a", "--param", "tre=a", "--param", "tree=A b"],
        2,
        &["no param `tre`; a similar one is `tree`", "does not match"],
    );
    refused(
        &["start", "lone", "--param", "tree=a"],
        2,
        &["none is named"],
    );
    for name in ["dev@a", "dev@b"] {
        let tree = format!("tree={}", &name[4..]);
        scene.run(["start", name, "--param", &tree]).success();
    }
    refused(
        &["start", "dev@c", "--param", "tree=c"],
        5,
        &["2 instances at a time", "`dev@a`, `dev@b`"],
    );
    assert!(scene.service("dev@c").is_null());
    scene.run(["stop", "dev@a"]).success();
    scene.run(["start", "dev@c", "--param", "tree=c"]).success();
    scene.run(["restart", "dev@c"]).success();
    assert_eq!(scene.service("dev@c")["instance"]["params"]["tree"], "c");
    scene.end();
}

#[test]
fn what_ended_well_makes_room_and_what_failed_is_there_to_be_seen() {
    let scene = Scene::new(&manifest("one"));
    scene
        .run(["start", "job@good", "--param", "file=baudbot.yaml"])
        .success();
    scene
        .run(["start", "job@bad", "--param", "file=nothing"])
        .code(1);
    scene.run(["up"]).success();
    scene.expect_state("job@bad", "failed");
    assert!(scene.service("job@good").is_null());
    std::fs::write(scene.path("nothing"), "").unwrap();
    scene.run(["start", "job@bad"]).success();
    scene.end();
}

#[test]
fn a_supervisor_that_comes_after_knows_the_instances() {
    let scene = Scene::new(&manifest("one"));
    scene.run(["up"]).success();
    scene.run(["start", "dev@a", "--param", "tree=a"]).success();
    let plan = scene.run(["plan"]).success().stdout;
    assert!(plan.contains("dev@a"), "{plan}");
    scene.run(["up"]).success();
    scene.expect_state("dev@a", "ready");
    // Two who do not know of each other's do not stop each other's.
    scene.run(["start", "pane@p"]).success();
    scene.expect_state("dev@a", "ready");
    scene.end();
}
