//! What the command line does without any supervisor: reading, checking, showing, writing manifests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli_scene/mod.rs"]
mod scene;

use std::io::Read;
use std::process::Stdio;

use scene::{Outcome, Scene, names_in};

const SHOP: &str = r#"
version: 1
project: shop
groups:
  core: { description: what must run }
services:
  migrate: { type: task, command: "true", groups: [core] }
  db: { command: [sleep, "1000"], groups: [core] }
  web:
    command: [sh, -c, 'exec serve --token "${API_TOKEN:-none}"']
    env: { PASSWORD: hunter2, REGION: "${REGION:-eu}" }
    depends_on: { migrate: { condition: completed }, db: {} }
"#;

#[test]
fn help_and_version_are_no_errors() {
    let scene = Scene::empty();
    scene.run(&["--help"]).exits(0).says("Exit codes:");
    scene.run(&["--version"]).exits(0).says("baudbot ");
    scene.run(&["logs", "--help"]).exits(0).says("--follow");
}

#[test]
fn a_wrong_command_line_is_told_from_a_wrong_manifest() {
    let scene = Scene::new("version: 1\nservices: { a: {} }\n");
    for words in [
        &["frobnicate"][..],
        &[],
        &["up", "--timeout", "soon"],
        &["start"],
        &["stop"],
        &["validate", "extra"],
        &["-p", "../x", "status"],
    ] {
        let outcome = scene.run(words).exits(2);
        assert_eq!(outcome.out, "", "{outcome:?}");
    }
    scene.run(&["validate"]).exits(78);
    scene.run(&["up"]).exits(78);
    scene.run(&["plan"]).exits(78);
}

#[test]
fn without_a_manifest_the_help_says_how_to_get_one() {
    let scene = Scene::empty();
    for command in [
        "validate", "up", "status", "graph", "config", "plan", "down",
    ] {
        scene
            .run(&[command])
            .exits(78)
            .notes("help: write one with `baudbot init`");
    }
    scene.run(&["-f", "nowhere.yaml", "validate"]).exits(78);
}

#[test]
fn the_manifest_is_found_here_and_above() {
    let scene = Scene::empty();
    scene.write("manifests/baudbot.yaml", SHOP);
    scene.run(&["validate"]).exits(78);
    scene
        .run(&["validate", "-f", "manifests/baudbot.yaml"])
        .exits(0)
        .says("manifests/baudbot.yaml is valid: 3 services");
    scene.write("baudbot.yaml", "version: 1\nproject: nearer\n");
    scene.write("a/b/file", "");
    let mut below = scene.command(&["validate"]);
    below.current_dir(scene.work().join("a/b"));
    Outcome::of(&mut below)
        .exits(0)
        .says("work/baudbot.yaml is valid: 0 services");
}

#[test]
fn validate_shows_every_mistake_and_tells_programs_too() {
    let scene = Scene::new(
        "version: 1\nservices:\n  web:\n    comand: x\n  api:\n    command: y\n    depends_on: [wbe]\n",
    );
    let human = scene.run(&["validate"]).exits(78);
    assert!(
        human.out.contains("comand") && human.out.contains("wbe"),
        "{human:?}"
    );
    assert!(human.out.contains("baudbot.yaml:4"), "{human:?}");
    let value = scene.run(&["validate", "--json"]).exits(78).json();
    assert_eq!(value["version"], 1);
    assert_eq!(value["valid"], false);
    let lines: Vec<u64> = value["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["labels"][0]["line"].as_u64().unwrap())
        .collect();
    assert!(lines.contains(&4) && lines.contains(&7), "{value:#}");
    // A command that needs the manifest shows the same, but not as its data.
    let up = scene.run(&["plan"]).exits(78).notes("comand");
    assert_eq!(up.out, "");
}

#[test]
fn colour_is_for_terminals_and_for_who_asks() {
    let scene = Scene::new("version: 1\nservices: { a: {} }\n");
    let has_escape = |outcome: &Outcome| outcome.out.contains('\x1b');
    assert!(!has_escape(&scene.run(&["validate"])));
    assert!(has_escape(&scene.run(&["--color", "always", "validate"])));
    let mut forced = scene.command(&["validate"]);
    assert!(has_escape(&Outcome::of(forced.env("CLICOLOR_FORCE", "1"))));
    let mut never = scene.command(&["--color=never", "validate"]);
    assert!(!has_escape(&Outcome::of(never.env("CLICOLOR_FORCE", "1"))));
}

#[test]
fn where_the_locale_has_no_unicode_there_is_none() {
    let scene = Scene::new("version: 1\nservices: { a: {} }\n");
    let mut plain = scene.command(&["validate"]);
    let outcome = Outcome::of(plain.env("LANG", "C")).exits(78);
    assert!(outcome.out.is_ascii(), "{outcome:?}");
}

#[test]
fn the_plan_is_made_without_a_supervisor() {
    let scene = Scene::new(SHOP);
    let human = scene.run(&["plan"]).exits(0);
    insta::assert_snapshot!(human.out, @r"
    wave 1
      start  migrate  new
      start  db       new
    wave 2
      start  web      new
    3 to start
    ");
    let value = scene.run(&["plan", "--json"]).exits(0).json();
    assert_eq!(value["version"], 1);
    assert_eq!(value["waves"][1][0]["action"], "start");
    assert_eq!(value["waves"][1][0]["service"], "web");
    assert!(value["waves"][1][0]["reason"].is_string());
    let dry = scene.run(&["up", "--dry-run"]).exits(0);
    assert_eq!(dry.out, human.out);
    scene.run(&["plan", "down"]).exits(0).says("nothing to do");
    scene
        .run(&["plan", "up", "dv"])
        .exits(2)
        .notes("help: ")
        .notes("`db`");
    scene.run(&["plan", "@core"]).exits(0).says("2 to start");
}

#[test]
fn the_graph_is_drawn_in_four_ways() {
    let scene = Scene::new(SHOP);
    insta::assert_snapshot!(scene.run(&["graph"]).exits(0).out, @r"
    migrate (task)
    db
    web
      needs migrate (completed)
      needs db (ready)
    ");
    let dot = scene.run(&["graph", "--format", "dot"]).exits(0);
    dot.says(r#""web" -> "db" [label="ready"];"#);
    let mermaid = scene.run(&["graph", "--format", "mermaid"]).exits(0);
    mermaid.says("s2 -->|completed| s0");
    let value = scene.run(&["graph", "--json"]).exits(0).json();
    assert_eq!(value["edges"].as_array().unwrap().len(), 2);
    assert_eq!(value["services"][2]["name"], "web");
}

#[test]
fn config_hides_values_until_asked() {
    let scene = Scene::new(SHOP);
    let with_token = |words: &[&str]| {
        let mut command = scene.command(words);
        Outcome::of(command.env("API_TOKEN", "s3cr3t-t0k3n")).exits(0)
    };
    for words in [&["config"][..], &["config", "--json"]] {
        let hidden = with_token(words);
        for secret in ["s3cr3t-t0k3n", "hunter2"] {
            assert!(
                !hidden.out.contains(secret) && !hidden.err.contains(secret),
                "{hidden:?}"
            );
        }
        assert!(hidden.out.contains("***"), "{hidden:?}");
    }
    let shown = with_token(&["config", "--show-values"]);
    shown.says("s3cr3t-t0k3n").says("hunter2");
    let value = with_token(&["config", "--json"]).json();
    assert_eq!(
        value["services"]["web"]["depends_on"]["db"]["condition"],
        "ready"
    );
    assert_eq!(value["services"]["web"]["stop"]["signal"], "TERM");
}

#[test]
fn what_config_prints_is_the_same_manifest() {
    let scene = Scene::new(
        r#"
version: 1
project: again
defaults: { working_dir: /, stop: { timeout: 1500ms } }
groups:
  helpers: { cleanup: { strategy: tmux-prefix, prefix: helper- } }
services:
  a: { command: 'echo "$HOME, $$, $$$${HOME} and $${HOME} cost $5"', umask: "077", env: { X: "$$$${y}" } }
  b: { type: tmux, command: [bash, -c, "echo $$ $$$${x} $${x}", "$$ $${x} 5$"], depends_on: { a: { condition: started } } }
  c:
    command: [sleep, 5]
    success_exit: [0, 3, HUP]
    restart: { policy: always, max_failures: never, no_retry_exit: [78, KILL] }
    ready: { tcp: "[::1]:80", timeout: never, interval: 0.25s }
    log: { max_size: 500kB, keep: 2 }
    env_files: [{ path: a.env, required: false }]
"#,
    );
    let first = scene.run(&["config", "--show-values"]).exits(0);
    scene.write("again.yaml", &first.out);
    let second = scene
        .run(&["-f", "again.yaml", "config", "--show-values"])
        .exits(0);
    assert_eq!(first.out, second.out);
}

#[test]
fn status_without_a_supervisor_shows_what_could_run() {
    let scene = Scene::new(SHOP);
    insta::assert_snapshot!(scene.run(&["status"]).exits(3).out, @r"
    shop: not running
    SERVICE  STATE     FOR  PID  CPU  MEMORY  PROCS  RESTARTS  GROUPS  PORTS/SESSION  REASON
    migrate  inactive  -    -    -    -       -      -         core    -
    db       inactive  -    -    -    -       -      -         core    -
    web      inactive  -    -    -    -       -      -         -       -
    ");
    let value = scene.run(&["status", "--json"]).exits(3).json();
    assert_eq!(value["version"], 1);
    assert_eq!(value["project"], "shop");
    assert!(value["supervisor"].is_null());
    assert_eq!(value["services"]["db"]["state"], "inactive");
    assert_eq!(value["services"]["migrate"]["type"], "task");
}

#[test]
fn a_named_project_needs_no_manifest() {
    let scene = Scene::empty();
    scene
        .run(&["-p", "shop", "status"])
        .exits(3)
        .says("shop: not running");
    let down = scene.run(&["-p", "shop", "down"]).exits(0);
    down.notes("nothing of project `shop` is running");
    scene.run(&["-p", "shop", "logs"]).exits(3);
    scene.run(&["-p", "shop", "logs", "-f"]).exits(3);
    let mut inherited = scene.command(&["status"]);
    inherited.env("BAUDBOT_PROJECT", "shop");
    Outcome::of(&mut inherited)
        .exits(3)
        .says("shop: not running");
    // Looking makes nothing.
    assert!(!scene.state("shop").exists());
}

#[test]
fn a_broken_manifest_still_names_its_project() {
    let scene = Scene::new("version: 1\nproject: shop\nservices: { a: { comand: x } }\n");
    scene
        .run(&["down"])
        .exits(0)
        .notes("nothing of project `shop` is running");
}

#[test]
fn the_project_that_was_named_must_be_the_manifests() {
    let scene = Scene::new(SHOP);
    scene
        .run(&["-p", "other", "plan"])
        .exits(2)
        .notes("project `shop`, not of `other`");
    // What a service inherits says less than the manifest that lies where it runs.
    let mut inside = scene.command(&["plan"]);
    inside
        .env("BAUDBOT_PROJECT", "outer")
        .env("BAUDBOT_SERVICE", "agent");
    Outcome::of(&mut inside).exits(0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let scene = Scene::empty();
    let many: String = (0..3000)
        .map(|number| format!("  s{number}: {{ command: [sleep, \"1\"] }}\n"))
        .collect();
    scene.write(
        "baudbot.yaml",
        &format!("version: 1\nproject: many\nservices:\n{many}"),
    );
    let mut child = scene
        .command(&["config"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut noise = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut noise)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{noise}");
    assert_eq!(noise, "");
}

#[test]
fn init_writes_what_can_be_used_at_once_and_overwrites_nothing() {
    let scene = Scene::empty();
    scene.write("my shop/file", "");
    scene
        .run(&["init", "my shop"])
        .exits(0)
        .notes("wrote my shop/baudbot.yaml");
    let manifest = scene.read("my shop/baudbot.yaml");
    assert!(manifest.starts_with("# yaml-language-server: $schema=.baudbot/schema.json\n"));
    assert!(manifest.contains("\nproject: my-shop\n"));
    let schema: serde_json::Value =
        serde_json::from_str(&scene.read("my shop/.baudbot/schema.json")).unwrap();
    assert_eq!(schema, scene.run(&["schema"]).exits(0).json());
    scene
        .run(&["validate", "-f", "my shop/baudbot.yaml"])
        .exits(0);

    scene.write("my shop/baudbot.yaml", "mine");
    scene
        .run(&["init", "my shop"])
        .exits(1)
        .notes("is there already");
    assert_eq!(scene.read("my shop/baudbot.yaml"), "mine");
    scene
        .run(&["init", "-f", "other.yaml", "-p", "named"])
        .exits(0);
    assert!(scene.read("other.yaml").contains("\nproject: named\n"));
    assert_eq!(
        names_in(&scene.work()),
        [".baudbot", "my shop", "other.yaml"]
    );
}
