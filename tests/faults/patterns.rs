//! A pattern on what a service prints matches what a reader sees of it.

use super::scene::{Scene, wait_for_file};

/// Development servers colour their lines in a terminal, and some everywhere.
#[test]
fn a_pattern_sees_a_coloured_line_as_a_reader_does() {
    let scene = Scene::new(
        r#"
defaults: {restart: never}
services:
  coloured:
    command: "printf '\\033[32mServer \\033[1mready\\033[0m on 8080\\n'; exec sleep 1000"
    ready: {log: "^Server ready on \\d+$"}
  redrawn:
    command: "printf '10 %%\\r50 %%\\r\\033[2KServer ready\\n'; exec sleep 1000"
    ready: {log: "^Server ready"}
  literal:
    command: "printf '\\033[32mServer ready\\n'; exec sleep 1000"
    ready: {log: "\\x1b\\[32mServer"}
  window:
    type: tmux
    command: "printf '\\033[32mServer \\033[1mready\\033[0m\\n'; exec sleep 1000"
    ready: {log: "^Server ready"}
"#,
    );
    scene.run(["up"]).success();
    for name in ["coloured", "redrawn", "literal", "window"] {
        scene.expect_state(name, "ready");
    }
    let found = scene.run(["logs", "-g", "Server ready on", "coloured"]);
    assert_eq!(found.success().stdout.lines().count(), 1);
    scene.end();
}

#[test]
fn a_prompt_without_a_line_end_matches() {
    let scene = Scene::new(
        r#"
services:
  shell:
    command: "echo begun; printf 'Password: ' >&2; exec sleep 1000"
    ready: {log: "^Password: $"}
    restart: never
"#,
    );
    scene.run(["up"]).success();
    scene.expect_state("shell", "ready");
    scene.end();
}

/// The supervisor that takes a run over looks for the line in the log.
#[test]
fn a_coloured_line_from_before_a_crash_matches() {
    let scene = Scene::new(
        r#"
services:
  server:
    command: "printf '\\033[32mServer \\033[1mready\\033[0m\\n'; touch printed; exec sleep 1000"
    ready: {log: "Server ready", timeout: never}
    exports: {token: {file: token}}
    restart: never
"#,
    );
    scene.run(["up", "--no-wait"]).success();
    super::scene::wait_until("the line is printed", || scene.path("printed").exists());
    scene.crash_supervisor();
    std::fs::write(scene.path("token"), "\x1b[36mabc\x1b[0m\n").unwrap();
    scene.run(["up"]).success();
    assert_eq!(scene.service("server")["exports"]["token"], "abc");
    scene.end();
}

#[test]
fn an_export_is_what_a_reader_sees_of_it() {
    let scene = Scene::new(
        r#"
services:
  server:
    command: [sleep, "1000"]
    exports:
      url: {command: "printf '\\033[2mlisten\\033[0m \\033[36mhttp://x\\033[0m\\n'", pattern: "^listen (\\S+)$"}
      all: {command: "printf '\\033[36mabc\\033[0m\\n'"}
  client:
    command: "printf '%s' \"$URL\" > seen; exec sleep 1000"
    env: {URL: "${server.url}"}
"#,
    );
    scene.run(["up"]).success();
    assert_eq!(scene.service("server")["exports"]["all"], "abc");
    assert_eq!(wait_for_file(&scene.path("seen")), "http://x");
    scene.end();
}

#[test]
fn a_service_that_printed_nothing_is_told_apart_from_one_that_printed_something_else() {
    let scene = Scene::new(
        r#"
defaults: {restart: never}
services:
  silent: {command: [sleep, "1000"], ready: {log: ready, timeout: 300ms}}
  other: {command: "echo hello; exec sleep 1000", ready: {log: ready, timeout: 300ms}}
"#,
    );
    let up = scene.run(["up"]).code(1);
    assert!(up.stderr.contains("it has printed nothing yet; a program whose output is no terminal may hold it back (PYTHONUNBUFFERED=1"), "{}", up.stderr);
    let other = scene.service("other")["reason"].to_string();
    assert!(
        other.contains("no line of its output matches yet"),
        "{other}"
    );
    scene.end();
}

/// Standard input is /dev/null: what ends with its input ends at once.
#[test]
fn a_program_that_ended_with_its_input_is_pointed_to_a_terminal() {
    let scene = Scene::new(
        r#"
services:
  watcher: {command: [cat]}
  interactive: {type: tmux, command: [cat]}
"#,
    );
    scene.run(["up", "--no-wait"]).success();
    super::scene::wait_until("it has ended", || {
        scene.service("watcher")["state"] == "inactive"
    });
    let why = scene.run(["why", "watcher"]);
    assert!(why.stdout.contains("/dev/null"), "{}", why.stdout);
    assert!(why.stdout.contains("`type: tmux`"), "{}", why.stdout);
    super::scene::wait_until("it is up", || {
        scene.service("interactive")["state"] == "ready"
    });
    let why = scene.run(["why", "interactive"]);
    assert!(!why.stdout.contains("/dev/null"), "{}", why.stdout);
    scene.end();
}
