//! The event log: what happened to whom, why, and who asked.

mod scene;

use std::io::{BufRead, BufReader};

use scene::{Scene, kill, wait_until};
use serde_json::Value;

/// A service that ends well on TERM.
const STEADY: &str =
    r#"[sh, -c, "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"]"#;

fn events(scene: &Scene, arguments: &[&str]) -> Vec<Value> {
    let all = ["events", "--json"].iter().chain(arguments);
    let outcome = scene.run(all).success();
    let lines = outcome.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or(Value::Null))
        .collect()
}

/// `from>to cause` of each change of a service.
fn changes(scene: &Scene, name: &str) -> Vec<String> {
    events(scene, &[name])
        .iter()
        .map(|event| {
            let change = &event["what"]["service"];
            let word = |key: &str| change[key].as_str().unwrap_or("?").to_owned();
            format!("{}>{} {}", word("from"), word("to"), word("cause"))
        })
        .collect()
}

#[test]
fn every_transition_has_its_cause_and_whoever_asked() {
    let scene = Scene::new(&format!(
        "services:\n  a: {{command: {STEADY}}}\n  b: {{command: {STEADY}, depends_on: [a], restart: {{delay: 10ms}}, groups: [g]}}\ngroups: {{g: {{}}}}"
    ));
    let mut up = scene.command(["up"]).spawn().unwrap();
    let who = up.id();
    assert!(up.wait().unwrap().success());
    kill(scene.pid("b"), 9);
    wait_until("b runs again", || scene.service("b")["restarts"] == 1);
    wait_until("b is ready", || scene.service("b")["state"] == "ready");
    scene.edit(&format!(
        "services:\n  a: {{command: {STEADY}}}\n  b: {{command: {STEADY}, depends_on: [a], restart: {{delay: 10ms}}, env: {{A: b}}, groups: [g]}}\ngroups: {{g: {{}}}}"
    ));
    scene.run(["up"]).success();
    scene.run(["down"]).success();

    // Nobody answers any more, and the history is still there.
    assert_eq!(
        changes(&scene, "b"),
        [
            "inactive>waiting order",
            "waiting>starting dependency",
            "starting>ready spawned",
            "ready>stopping exited",
            "stopping>backoff gone",
            "backoff>waiting policy",
            "waiting>starting dependency",
            "starting>ready spawned",
            "ready>stopping edit",
            "stopping>waiting gone",
            "waiting>starting dependency",
            "starting>ready spawned",
            "ready>stopping order",
            "stopping>inactive gone",
        ]
    );
    assert_eq!(changes(&scene, "b"), changes(&scene, "@g"));
    let all = events(&scene, &[]);
    let begun = &all[0]["what"]["supervisor"];
    assert_eq!(begun["did"], "began");
    let asked = &all[1]["what"]["order"];
    assert_eq!(asked["order"], "up");
    assert_eq!(asked["by"]["process"]["pid"], who);
    let uid = nix::unistd::getuid().as_raw();
    assert_eq!(asked["by"]["process"]["uid"], uid);
    assert_eq!(all[all.len() - 1]["what"]["supervisor"]["did"], "left");
    let crash = all
        .iter()
        .find(|event| event["what"]["service"]["cause"] == "exited")
        .unwrap();
    assert_eq!(crash["what"]["service"]["exit"]["exit"]["signal"], 9);
    assert_eq!(events(&scene, &["-n", "3"]), all[all.len() - 3..]);
    assert_eq!(events(&scene, &["--since", "1h"]), all);
    assert!(events(&scene, &["--since", "2200-01-01T00:00:00Z"]).is_empty());

    let text = scene.run(["events", "b"]).success().stdout;
    assert!(text.contains("ready -> stopping  (edit, run"), "{text}");
    scene.end();
}

#[test]
fn events_are_followed_from_one_supervisor_to_the_next() {
    let scene = Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"));
    scene.run(["events"]).code(3);
    scene.run(["up"]).success();
    let mut following = scene.command(["events", "-f", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut expect = |what: &str| {
        for line in lines.by_ref() {
            if line.unwrap().contains(what) {
                return;
            }
        }
        panic!("{what} never came");
    };
    expect(r#""did":"began""#);
    expect(r#""to":"ready""#);
    scene.run(["down"]).success();
    expect(r#""did":"left""#);
    scene.run(["up"]).success();
    expect(r#""did":"began""#);
    let supervisor = scene.supervisor();
    scene.crash_supervisor();
    expect(&format!(r#""did":"crashed","pid":{supervisor}"#));
    following.kill().unwrap();
    following.wait().unwrap();
    scene.end();
}
