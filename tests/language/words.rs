//! `include` by pattern, as packages use it; and what must never be printed.

use std::fs;

use crate::STEADY;
use crate::scene::{Scene, is_alive};

#[test]
fn a_package_drops_a_file_and_a_broken_one_stops_nothing_that_runs() {
    let scene = Scene::new(&format!(
        "include: services.d/*.yaml\nservices: {{base: {{command: {STEADY}}}}}\n"
    ));
    fs::create_dir(scene.path("services.d")).unwrap();
    let drop_in = |name: &str, text: &str| {
        let file = scene.path("services.d").join(name);
        fs::write(file, format!("version: 1\n{text}\n")).unwrap();
    };
    scene.run(["up"]).success();
    let base = scene.pid("base");
    drop_in(
        "mail.yaml",
        &format!("services: {{mail: {{command: {STEADY}}}}}"),
    );
    scene.run(["up"]).success();
    let mail = scene.pid("mail");
    drop_in("broken.yaml", "services: {x: {comand: y}}");
    let refused = scene.run(["up"]).code(78);
    assert!(
        refused.stderr.contains("services.d/broken.yaml:2:"),
        "{}",
        refused.stderr
    );
    assert_eq!((scene.pid("base"), scene.pid("mail")), (base, mail));
    fs::remove_file(scene.path("services.d/broken.yaml")).unwrap();
    fs::remove_file(scene.path("services.d/mail.yaml")).unwrap();
    let plan = scene.run(["plan"]).success().stdout;
    assert!(plan.contains("no longer in the manifest"), "{plan}");
    scene.run(["up"]).success();
    assert!(!is_alive(mail));
    assert_eq!(scene.pid("base"), base);
    scene.end();
}

#[test]
fn no_word_of_ours_tells_a_secret() {
    const SECRET: &str = "hunter2-and-more";
    let mut scene = Scene::new(
        r#"
env_files: secrets.env
services:
  crash: {command: [sh, -c, "exit 3", "${FROM_FILE}"], restart: never, hooks: {after_stop: [sh, -c, "exit 4", "${FROM_FILE}"]}}
  asked: {command: [sleep, "1000"], ready: {exec: [sh, -c, "exit 5", "${FROM_FILE}"], interval: 50ms, timeout: 300ms}, restart: never}
  called: {command: [sleep, "1000"], ready: {http: "http://127.0.0.1:1/${FROM_FILE}?x=${FROM_SHELL}", interval: 50ms, timeout: 300ms}, restart: never}
  fits: {command: [sleep, "1000"], env: {A: "${FROM_SHELL}"}}
"#,
    );
    scene.set("FROM_SHELL", SECRET);
    fs::write(scene.path("secrets.env"), format!("FROM_FILE='{SECRET}'\n")).unwrap();
    let mut said = scene.run(["up"]);
    let mut keep = |outcome: crate::scene::Outcome| {
        said.stdout += &outcome.stdout;
        said.stderr += &outcome.stderr;
    };
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["config"],
        &["config", "--json"],
        &["plan"],
        &["events"],
        &["restart", "fits"],
        &["validate", "--json"],
    ] {
        keep(scene.run(words));
    }
    // An edit that changes a secret tells its name only.
    fs::write(scene.path("secrets.env"), "FROM_FILE=another-one\n").unwrap();
    keep(scene.run(["plan"]));
    keep(scene.run(["up", "--no-wait"]));
    let log = fs::read_to_string(scene.state_dir().join("supervisor.log")).unwrap_or_default();
    for (what, text) in [
        ("stdout", &said.stdout),
        ("stderr", &said.stderr),
        ("log", &log),
    ] {
        let line = text.lines().find(|line| line.contains(SECRET));
        assert_eq!(line, None, "in {what}");
    }
    scene.end();
}
