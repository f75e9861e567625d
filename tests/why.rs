//! `why` tells of each kind of trouble what it is, what decides it and what to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli_scene/mod.rs"]
mod scene;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scene::Scene;
use serde_json::Value;

const TROUBLES: &str = r#"version: 1
project: troubles
groups: { core: {} }
services:
  crash:
    command: "echo starting; echo 'fatal: no config' >&2; exit 3"
    type: task
    groups: [core]
  needs-crash:
    command: [sleep, "1000"]
    depends_on: { crash: { condition: completed } }
  lacking:
    command: [no-such-program]
  slow:
    command: "echo loading; exec sleep 1000"
    ready:
      log: never said
      timeout: 10m
  waits:
    command: [sleep, "1000"]
    depends_on: [slow]
  late:
    command: "exec sleep 1000"
    ready: { log: never said, timeout: 100ms }
    restart: never
  flaky:
    command: "sleep 0.05; exit 1"
    restart:
      delay: 10m
      max_failures: 3
  skipped:
    command: [sleep, "1000"]
    when: { file: /nowhere }
  well:
    command: [sleep, "1000"]
  idle:
    command: [sleep, "1000"]
"#;

/// What `why` says, with all that differs from run to run replaced.
fn why(scene: &Scene, service: &str) -> String {
    let filters = [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \([^)]*\)", "TIME"),
        (r"\((\d+s ago|just now)\)", "(AGO)"),
        (r", (\d+s ago|just now)", ", AGO"),
        (r"process \d+ of user \d+", "process PID of user UID"),
        (r"pid \d+", "pid PID"),
        (r"[\d.]+s of processor time", "CPU of processor time"),
        (r"[\d.]+[KMG] of memory", "MEMORY of memory"),
        (r"(gives up|next start) in \d+m( \d+s)?", "$1 in LEFT"),
        (r", run \d+", ", run N"),
    ];
    let outcome = scene.run(&["why", service]);
    let mut text = format!("{}exit code {}\n", outcome.out, outcome.code);
    for (pattern, replacement) in filters {
        let pattern = regex::Regex::new(pattern).unwrap();
        text = pattern.replace_all(&text, replacement).into_owned();
    }
    text
}

fn await_state(scene: &Scene, service: &str, wanted: &str) -> Value {
    loop {
        let status = scene.run(&["status", "--json", service]).json();
        let found = &status["services"][service];
        if found["state"] == wanted {
            return found.clone();
        }
    }
}

#[test]
fn each_trouble_has_its_story() {
    let scene = Scene::new(TROUBLES);
    insta::assert_snapshot!(why(&scene, "well"), @r"
    `well` is inactive
      declared    baudbot.yaml:34, a process
      goal        none: no supervisor runs
    help: start it: `baudbot start well`
    exit code 0
    ");
    let names = [
        "needs-crash",
        "lacking",
        "slow",
        "waits",
        "late",
        "flaky",
        "skipped",
        "well",
    ];
    let words: Vec<&str> = ["up", "--no-wait"].into_iter().chain(names).collect();
    scene.run(&words).exits(0);
    await_state(&scene, "needs-crash", "blocked");
    await_state(&scene, "flaky", "backoff");
    await_state(&scene, "late", "failed");
    await_state(&scene, "slow", "starting");
    insta::assert_snapshot!(why(&scene, "crash"), @r"
    `crash` is failed: exited with 3
      declared    baudbot.yaml:5, a task in `core`
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      needed by   `needs-crash`
      last ends   TIME, run N: exited with 3
      last lines  starting
                  fatal: no config
    help: see all that it printed: `baudbot logs crash`
    help: once it is mended: `baudbot start crash`
    exit code 1
    ");
    insta::assert_snapshot!(why(&scene, "needs-crash"), @r"
    `needs-crash` is blocked: dependency `crash` failed: exited with 3
      declared    baudbot.yaml:9, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      decided by  baudbot.yaml:11 `depends_on.crash`
      needs       `crash` (completed): failed: exited with 3
    help: see how `crash` is: `baudbot why crash`
    help: once it is mended: `baudbot start needs-crash`
    exit code 1
    ");
    insta::assert_snapshot!(why(&scene, "lacking"), @r"
    `lacking` is blocked: cannot start: the executable `no-such-program` is not in any directory of PATH
      declared    baudbot.yaml:12, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      decided by  baudbot.yaml:13 `command`
    help: once it is mended: `baudbot start lacking`
    exit code 1
    ");
    insta::assert_snapshot!(why(&scene, "slow"), @r"
    `slow` is starting: no line of its output matches yet
      declared    baudbot.yaml:14, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      coming      gives up in LEFT
      process     pid PID, 1 process, CPU of processor time, MEMORY of memory
      probe       ready.log: no line of its output matches yet (AGO)
      decided by  baudbot.yaml:18 `ready.timeout`
      needed by   `waits`
      last lines  loading
    help: see what it prints: `baudbot logs -f slow`
    exit code 1
    ");
    insta::assert_snapshot!(why(&scene, "waits"), @r"
    `waits` is waiting: waits for `slow` (ready)
      declared    baudbot.yaml:19, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      decided by  baudbot.yaml:21 `depends_on.slow`
      needs       `slow` (ready): starting: no line of its output matches yet
    help: see how `slow` is: `baudbot why slow`
    exit code 1
    ");
    insta::assert_snapshot!(why(&scene, "late"), @r"
    `late` is failed: not ready after 100ms: it has printed nothing yet; a program whose output is no terminal may hold it back (PYTHONUNBUFFERED=1, `stdbuf -oL`)
      declared    baudbot.yaml:22, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      decided by  baudbot.yaml:24 `ready.timeout`
                  baudbot.yaml:25 `restart`
      last ends   TIME, run N: ended; we ended it: it was not ready in time
    help: see all that it printed: `baudbot logs late`
    help: once it is mended: `baudbot start late`
    exit code 1
    ");
    insta::assert_snapshot!(why(&scene, "flaky"), @r"
    `flaky` is in backoff: exited with 1; failure 1 of 3
      declared    baudbot.yaml:26, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      coming      next start in LEFT
      decided by  baudbot.yaml:29 `restart.delay`
                  baudbot.yaml:30 `restart.max_failures`
      last ends   TIME, run N: exited with 1
    help: see all that it printed: `baudbot logs flaky`
    help: do not wait: `baudbot start flaky`
    exit code 1
    ");
    insta::assert_snapshot!(why(&scene, "skipped"), @r"
    `skipped` is skipped: /nowhere does not exist
      declared    baudbot.yaml:31, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      decided by  baudbot.yaml:33 `when`
    help: once its `when` holds: `baudbot start skipped`
    exit code 0
    ");
    insta::assert_snapshot!(why(&scene, "well"), @r"
    `well` is ready
      declared    baudbot.yaml:34, a process
      goal        up; last order: `up needs-crash lacking slow waits late flaky skipped well` by process PID of user UID, AGO
      since       TIME
      process     pid PID, 1 process, CPU of processor time, MEMORY of memory
    help: see all that it printed: `baudbot logs well`
    exit code 0
    ");
    insta::assert_snapshot!(why(&scene, "idle"), @r"
    `idle` is inactive
      declared    baudbot.yaml:36, a process
      goal        down
      since       TIME
    help: start it: `baudbot start idle`
    exit code 0
    ");
    scene.run(&["down", "--now"]).exits(0);
}

#[test]
fn who_sent_the_signal_is_told() {
    let scene = Scene::new(
        "version: 1\nproject: signals\nservices:\n  a: { command: [sleep, '1000'], restart: never }\n  b: { command: [sleep, '1000'] }\n",
    );
    scene.run(&["up"]).exits(0);
    let pid = await_state(&scene, "a", "ready")["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    await_state(&scene, "a", "failed");
    scene
        .run(&["why", "a"])
        .exits(1)
        .says("ended by SIGKILL; that signal did not come from baudbot");
    scene.run(&["up"]).exits(0);
    scene.run(&["stop", "a"]).exits(0);
    scene.run(&["why", "a"]).says("we ended it: an order");
    let story = scene.run(&["why", "a", "--json"]).json();
    assert_eq!(story["version"], 1);
    assert_eq!(story["ends"].as_array().unwrap().len(), 2, "{story:#}");
    assert_eq!(story["declared_at"]["line"], 4);
    assert_eq!(story["next"][0]["command"], "start a");
    scene.run(&["down"]).exits(0);
    // What happened is remembered when nothing runs.
    scene.run(&["why", "a"]).says("ended by SIGKILL");
}

#[test]
fn a_name_that_nobody_knows_is_an_error_with_a_similar_one() {
    let scene = Scene::new(TROUBLES);
    scene
        .run(&["why", "crush"])
        .exits(2)
        .notes("error[cli::unknown_name]: no service is called `crush`")
        .notes("a similar name exists: `crash`");
}
