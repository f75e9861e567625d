//! Commands around services: `exec`, `tmux`, `attach`, completions, manual pages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli_scene/mod.rs"]
mod scene;

use std::path::Path;

use scene::{Outcome, Scene, names_in};

const SHOP: &str = r#"
version: 1
project: shop
groups: { edge: { description: what the world sees } }
services:
  web:
    description: the shop window
    command: [sleep, '1000']
    working_dir: there
    umask: '027'
    env: { GREETING: hello }
    env_files: [secrets.env]
    groups: [edge]
  worker: { command: [sleep, '1000'] }
  agent: { type: tmux, command: [sleep, '1000'] }
"#;

fn shop() -> Scene {
    let scene = Scene::new(SHOP);
    scene.write("there/x", "");
    scene.write("secrets.env", "TOKEN=first\n");
    scene
}

#[test]
fn exec_runs_a_command_where_the_service_lives() {
    let scene = shop();
    let outcome = scene.run(&[
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "echo $GREETING $TOKEN $BAUDBOT_SERVICE; basename $PWD; umask; echo $TERM; exit 42",
    ]);
    assert_eq!(outcome.out, "hello first web\nthere\n0027\ndumb\n");
    let outcome = outcome.exits(42);
    assert_eq!(outcome.err, "");
    // Nothing of ours leaks in, and files are as they are now.
    scene.write("secrets.env", "TOKEN=second\n");
    let mut command = scene.command(&["exec", "web", "--", "env"]);
    let outcome = Outcome::of(command.env("LEAK", "x"))
        .exits(0)
        .says("TOKEN=second\n");
    assert!(!outcome.out.contains("LEAK"), "{outcome:?}");
}

const EXPORTING: &str = r#"
version: 1
project: shop
services:
  agent:
    command: 'echo id-7 > id; exec sleep 1000'
    exports: { id: { file: id } }
  bridge: { command: [sleep, '1000'], env: { AGENT: '${agent.id}' } }
"#;

#[test]
fn exec_knows_what_others_export_while_they_run() {
    let scene = Scene::new(EXPORTING);
    let words = ["exec", "bridge", "--", "sh", "-c", "echo $AGENT"];
    scene
        .run(&words)
        .exits(5)
        .notes("`agent` does not run and exports no `id` now");
    scene.run(&["up"]).exits(0);
    assert_eq!(scene.run(&words).exits(0).out, "id-7\n");
}

#[test]
fn exec_says_what_is_missing() {
    let scene = shop();
    std::fs::remove_file(scene.work().join("secrets.env")).unwrap();
    scene
        .run(&["exec", "web", "--", "true"])
        .exits(5)
        .notes("secrets.env");
    scene
        .run(&["exec", "wbe", "--", "true"])
        .exits(2)
        .notes("no service is called `wbe`");
    scene
        .run(&["exec", "worker", "--", "no-such-program"])
        .exits(1)
        .notes("no-such-program")
        .notes("help: its PATH is ");
    scene.run(&["exec", "worker"]).exits(2);
}

#[test]
fn tmux_is_that_of_the_project() {
    let scene = shop();
    scene.run(&["up", "agent"]).exits(0);
    let sessions = ["tmux", "--", "list-sessions", "-F", "#{session_name}"];
    assert_eq!(scene.run(&sessions).exits(0).out, "shop-agent\n");
    // Its exit code is tmux's own.
    scene
        .run(&["tmux", "--", "has-session", "-t", "=nobody"])
        .exits(1);
}

/// What bash offers for a line, asked the way that bash asks.
fn offered(scene: &Scene, line: &[&str]) -> Vec<String> {
    let (before, typed) = (line[line.len() - 2], line[line.len() - 1]);
    let script = format!(
        "source <(baudbot completions bash); \
         COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; \
         _clap_complete_baudbot baudbot '{typed}' '{before}'; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        line.iter()
            .map(|word| format!("'{word}' "))
            .collect::<String>(),
        line.len() - 1,
    );
    let program = Path::new(env!("CARGO_BIN_EXE_baudbot"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let mut bash = scene.program("bash");
    let outcome = Outcome::of(bash.args(["-c", &script]).env("PATH", path)).exits(0);
    let mut offered: Vec<String> = outcome
        .out
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    offered.sort();
    offered
}

#[test]
fn bash_completes_names_as_they_are_now() {
    let scene = shop();
    assert_eq!(
        offered(&scene, &["baudbot", "stop", "w"]),
        ["web", "worker"]
    );
    assert_eq!(offered(&scene, &["baudbot", "restart", "wo"]), ["worker"]);
    assert_eq!(offered(&scene, &["baudbot", "up", "@"]), ["@edge"]);
    assert_eq!(offered(&scene, &["baudbot", "logs", "-f", "we"]), ["web"]);
    assert_eq!(offered(&scene, &["baudbot", "attach", "a"]), ["agent"]);
    assert_eq!(offered(&scene, &["baudbot", "compl"]), ["completions"]);
    assert_eq!(
        offered(&scene, &["baudbot", "logs", "--foll"]),
        ["--follow"]
    );
    // An edit is known at once.
    scene.write("baudbot.yaml", &SHOP.replace("worker:", "wonder:"));
    assert_eq!(offered(&scene, &["baudbot", "stop", "wo"]), ["wonder"]);
    // Another manifest that is named on the line is the one that counts.
    scene.write(
        "other.yaml",
        "version: 1\nproject: other\nservices: { walnut: { command: [sleep, '1'] } }\n",
    );
    let other = ["baudbot", "-f", "other.yaml", "stop", "w"];
    assert_eq!(offered(&scene, &other), ["walnut"]);
}

#[test]
fn scripts_of_other_shells_are_well_formed() {
    let scene = shop();
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = scene
            .run(&["completions", shell])
            .exits(0)
            .says("baudbot")
            .out;
        scene.write("script", &script);
        match scene.program(shell).args([check, "script"]).status() {
            Ok(status) => assert!(status.success(), "{shell}: {script}"),
            Err(error) => eprintln!("{shell} is not here ({error}): its script is not checked"),
        }
    }
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let scene = shop();
    scene.run(&["man"]).exits(0).says(".TH baudbot 1");
    scene
        .run(&["man", "pages"])
        .exits(0)
        .notes("man -l pages/baudbot-up.1");
    let pages = names_in(&scene.work().join("pages"));
    let help = scene.run(&["-h"]).exits(0).out;
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next());
    for command in commands {
        assert!(
            pages.contains(&format!("baudbot-{command}.1")),
            "{command}: {pages:?}"
        );
    }
    assert!(pages.contains(&"baudbot.1".to_owned()), "{pages:?}");
    let page = scene.read("pages/baudbot-logs.1");
    assert!(page.contains("\\-\\-since"), "{page}");
}
