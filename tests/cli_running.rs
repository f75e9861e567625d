//! What the command line does with a supervisor, real processes and real tmux sessions.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli_scene/mod.rs"]
mod scene;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scene::{Outcome, Scene};
use serde_json::Value;

const SHOP: &str = r#"
version: 1
project: shop
groups: { edge: {} }
services:
  migrate: { type: task, command: echo migrated }
  db:
    command: [sh, -c, 'echo listening; exec sleep 1000']
    depends_on: { migrate: { condition: completed } }
    ready: { log: listening }
  web:
    command: [sh, -c, 'echo serving; exec sleep 1000']
    depends_on: [db]
    ready: { log: serving }
    groups: [edge]
"#;

fn status(scene: &Scene) -> Value {
    scene.run(&["status", "--json"]).json()
}

fn pid(scene: &Scene, service: &str) -> i64 {
    let status = status(scene);
    let pid = &status["services"][service]["pid"];
    pid.as_i64()
        .unwrap_or_else(|| panic!("no pid of {service} in {status:#}"))
}

fn state(scene: &Scene, service: &str) -> String {
    status(scene)["services"][service]["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A call of the program that is still going on.
struct Going {
    child: Child,
    err: BufReader<ChildStderr>,
    seen: String,
}

impl Going {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            err,
            seen: String::new(),
        }
    }

    /// Reads standard error up to the line that has this text.
    fn await_note(&mut self, text: &str) {
        loop {
            let start = self.seen.len();
            let read = self.err.read_line(&mut self.seen).unwrap();
            assert_ne!(read, 0, "it ended without `{text}`:\n{}", self.seen);
            if self.seen[start..].contains(text) {
                return;
            }
        }
    }

    fn interrupt(&self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT).unwrap();
    }

    /// The exit code and all of standard error.
    fn end(mut self) -> (i32, String) {
        while self.err.read_line(&mut self.seen).unwrap() > 0 {}
        (self.child.wait().unwrap().code().unwrap_or(-1), self.seen)
    }
}

#[test]
fn up_down_and_what_lies_between() {
    let scene = Scene::new(SHOP);
    let up = scene.run(&["up"]).exits(0);
    let place = |text: &str| {
        up.err
            .find(text)
            .unwrap_or_else(|| panic!("no `{text}` in {up:?}"))
    };
    assert!(place("wave 1") < place("migrate: completed"));
    assert!(place("migrate: completed") < place("db: ready"));
    assert!(place("db: ready") < place("web: ready"));
    assert!(place("web: ready") < place("3 services up"));
    assert_eq!(up.out, "", "progress is no data");

    scene
        .run(&["status"])
        .exits(0)
        .says("shop: 3 of 3 services up, supervisor ");
    let before = (pid(&scene, "db"), pid(&scene, "web"));
    scene
        .run(&["up"])
        .exits(0)
        .notes("nothing to do: 3 services are as they should be");
    assert_eq!((pid(&scene, "db"), pid(&scene, "web")), before);

    let down = scene.run(&["down"]).exits(0).says("verified: ");
    let place = |text: &str| {
        down.err
            .find(text)
            .unwrap_or_else(|| panic!("no `{text}` in {down:?}"))
    };
    assert!(place("web: inactive") < place("db: inactive"));
    scene.run(&["status"]).exits(3).says("shop: not running");
    assert_eq!(scene.processes(), []);
    scene
        .run(&["down"])
        .exits(0)
        .notes("nothing of project `shop` is running");
}

/// Holds that a status is what its committed schema says.
fn assert_fits_schema(status: &Value) {
    let schema = include_str!("../schema/status.schema.json");
    let schema = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(status)
        .map(|error| format!("{} {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?} in {status:#}");
}

#[test]
fn the_status_for_programs_fits_its_schema_and_tells_what_services_take() {
    let scene = Scene::new(SHOP);
    assert_fits_schema(&status(&scene));
    scene.run(&["up"]).exits(0);
    let status = status(&scene);
    assert_fits_schema(&status);
    let usage = &status["services"]["web"]["usage"];
    assert_eq!(usage["processes"], 1, "{status:#}");
    assert!(usage["memory_bytes"].as_u64().unwrap() > 0, "{status:#}");
    assert!(usage["cpu_ms"].is_u64(), "{status:#}");
    assert_eq!(status["services"]["migrate"]["usage"], Value::Null);
    assert_eq!(status["supervisor"]["usage"]["processes"], 1);
    scene.run(&["down"]).exits(0);
}

#[test]
fn status_waits_until_it_is_decided() {
    let scene = Scene::new(
        r#"
version: 1
project: waiting
services:
  quick: { command: [sleep, "1000"] }
  slow:
    command: "while [ ! -e go ]; do sleep 0.02; done; echo here; exec sleep 1000"
    ready: { log: here }
"#,
    );
    scene.run(&["status", "--wait"]).exits(3);
    scene.run(&["status", "--wait=stopped"]).exits(0);
    scene.run(&["up", "--no-wait"]).exits(0);
    scene
        .run(&["status", "--wait", "--timeout", "50ms"])
        .exits(4)
        .says("starting");
    scene.run(&["status", "--wait=ready", "quick"]).exits(0);
    let mut waiting = scene.command(&["status", "--wait", "--timeout", "1m"]);
    let waiting = waiting.stdout(Stdio::piped()).spawn().unwrap();
    scene.write("go", "");
    let waited = waiting.wait_with_output().unwrap();
    assert_eq!(waited.status.code(), Some(0), "{waited:?}");
    scene
        .run(&["status", "--wait=stopped", "--timeout", "50ms"])
        .exits(4);
    scene
        .run(&["status", "--wait", "nobody"])
        .exits(2)
        .notes("error[cli::unknown_name]: no service or group is called `nobody`");
    scene.run(&["stop", "slow"]).exits(0);
    scene.run(&["status", "--wait=stopped", "slow"]).exits(0);
    let stopped = scene
        .command(&["status", "--wait=stopped"])
        .spawn()
        .unwrap();
    scene.run(&["down"]).exits(0);
    assert_eq!(stopped.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn status_watches_what_changes() {
    let scene = Scene::new(SHOP);
    let going = |words: &[&str]| {
        let mut command = scene.command(words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        (child, out)
    };
    let (mut child, mut lines) = going(&["status", "--watch"]);
    let mut seen = String::new();
    let mut await_line = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(
                lines.read_line(&mut line).unwrap(),
                0,
                "no `{text}` in {seen}"
            );
            seen += &line;
        }
    };
    await_line("shop: not running");
    scene.run(&["up"]).exits(0);
    await_line("services up");
    await_line("web: ready");
    let (mut programs, mut statuses) = going(&["status", "--watch", "--json", "@edge"]);
    let mut line = String::new();
    statuses.read_line(&mut line).unwrap();
    let status: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(status["services"]["web"]["state"], "ready");
    assert_eq!(status["services"].as_object().unwrap().len(), 1);
    scene.run(&["down"]).exits(0);
    await_line("web: stopping");
    await_line("shop: not running");
    for child in [&mut child, &mut programs] {
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}

#[test]
fn the_graph_shows_what_services_are() {
    let scene = Scene::new(&format!("{SHOP}  idle: {{ command: [sleep, '1000'] }}\n"));
    let graph = |format: &str| scene.run(&["graph", "--format", format]).exits(0).out;
    assert!(!graph("text").contains("ready:"), "nothing runs yet");
    scene.run(&["up", "web"]).exits(0);
    insta::assert_snapshot!(graph("text"), @r"
    migrate (task): completed
    idle: inactive
    db: ready
      needs migrate (completed): completed
    web: ready
      needs db (ready): ready
    ");
    assert!(graph("dot").contains(r##"fillcolor="#c8e6c9", tooltip="ready""##));
    assert!(graph("mermaid").contains("style s1 fill:#c8e6c9"));
    let value: Value = serde_json::from_str(&graph("json")).unwrap();
    let states: Vec<&str> = value["services"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["state"].as_str())
        .collect();
    assert_eq!(states.iter().filter(|state| **state == "ready").count(), 2);
    scene.run(&["down"]).exits(0);
}

#[test]
fn ps_tells_of_every_project_also_of_one_whose_supervisor_was_killed() {
    let scene = Scene::new(SHOP);
    scene
        .run(&["ps"])
        .exits(0)
        .notes("no project of yours is running");
    scene.write(
        "lab/baudbot.yaml",
        "version: 1\nproject: lab\nservices: { bad: { type: task, command: 'exit 1' } }\n",
    );
    scene.run(&["up"]).exits(0);
    scene.run(&["up", "-f", "lab/baudbot.yaml"]).exits(1);
    let states = || {
        let value = scene.run(&["ps", "--json"]).exits(0).json();
        let states = value["projects"].as_array().unwrap().iter();
        states
            .map(|one| (one["project"].clone(), one["state"].clone()))
            .map(|(name, state)| format!("{name} {state}").replace('"', ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["lab degraded", "shop up"]);
    scene.run(&["ps"]).exits(0).says("3/3").says("baudbot.yaml");
    scene.run(&["-p", "lab", "down"]).exits(0);
    assert_eq!(states(), ["shop up"]);
    scene.run(&["ps", "--all"]).exits(0).says("down");
    // First the guardian, which would bring the supervisor back.
    let supervisor = status(&scene)["supervisor"].clone();
    for process in ["guardian_pid", "pid"] {
        let pid = i32::try_from(supervisor[process].as_i64().unwrap()).unwrap();
        let pid = Pid::from_raw(pid);
        kill(pid, Signal::SIGKILL).unwrap();
        // Its parent is another process, so its end can only be looked for.
        while std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
        {
            std::thread::yield_now();
        }
    }
    assert_eq!(states(), ["shop left_behind"]);
    scene
        .run(&["ps"])
        .exits(0)
        .says("the supervisor of `shop` was killed");
    scene.run(&["down"]).exits(0);
    assert_eq!(states(), [""; 0]);
}

#[test]
fn an_edit_changes_what_it_says_and_nothing_else() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    let (db, web) = (pid(&scene, "db"), pid(&scene, "web"));
    let edited = SHOP.replace(
        "echo serving; exec sleep 1000",
        "echo serving; exec sleep 2000",
    );
    scene.write(
        "baudbot.yaml",
        &(edited + "  extra: { command: [sleep, '1000'] }\n"),
    );
    let plan = scene.run(&["plan"]).exits(0);
    let plan = plan
        .says("restart  web      changed: command")
        .says("start    extra");
    scene.run(&["up", "--dry-run"]).exits(0).says(&plan.out);
    assert_eq!(pid(&scene, "web"), web, "a dry run changes nothing");
    scene.run(&["up"]).exits(0);
    assert_eq!(pid(&scene, "db"), db);
    assert_ne!(pid(&scene, "web"), web);

    scene.write("baudbot.yaml", SHOP);
    scene.run(&["plan"]).exits(0).says("stop     extra    ");
    scene.run(&["up"]).exits(0).notes("extra: ");
    assert!(status(&scene)["services"].get("extra").is_none());
}

#[test]
fn a_failing_service_shows_its_last_words_and_the_next_command() {
    let scene = Scene::new(
        r#"
version: 1
project: bad
services:
  fine: { command: [sleep, '1000'] }
  crash:
    command: 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "line $i"; done; exit 7'
    restart: never
    ready: { tcp: 1 }
  after: { command: [sleep, '1000'], depends_on: [crash] }
"#,
    );
    let up = scene.run(&["-f", "baudbot.yaml", "up"]).exits(1);
    let up = up
        .notes("`crash` is failed: exited with 7")
        .notes("crash | line 12")
        .notes("1 service waits for it: `after`")
        .notes("help: see the whole story with `baudbot -f baudbot.yaml why crash`")
        .notes("once that is mended: `baudbot -f baudbot.yaml start crash`")
        .notes("1 of 3 services up");
    assert!(
        !up.err.contains("line 2\n"),
        "only the last ten lines: {up:?}"
    );
    scene.run(&["status"]).exits(1).says("exited with 7");
    scene.run(&["up", "fine"]).exits(0);
    scene.run(&["down"]).exits(0);
}

#[test]
fn a_missing_executable_blocks() {
    let scene = Scene::new(
        "version: 1\nproject: gone\nservices:\n  a: { command: [no-such-program-anywhere] }\n  b: { command: [sleep, '1000'] }\n",
    );
    scene
        .run(&["up"])
        .exits(5)
        .notes("`a` is blocked: ")
        .notes("1 of 2 services up");
    assert_eq!(state(&scene, "b"), "ready");
}

const NEVER_READY: &str = r#"
version: 1
project: slow
services:
  slow: { command: [sleep, '1000'], ready: { file: never, timeout: never } }
"#;

#[test]
fn a_timeout_names_what_is_waited_for_and_the_work_goes_on() {
    let scene = Scene::new(NEVER_READY);
    let up = scene.run(&["up", "--timeout", "300ms"]).exits(4);
    up.notes("`slow` is starting")
        .notes("goes on in the background");
    assert_eq!(state(&scene, "slow"), "starting");
    scene.run(&["status"]).exits(1);
}

#[test]
fn no_wait_returns_at_once() {
    let scene = Scene::new(NEVER_READY);
    scene.run(&["up", "--no-wait"]).exits(0).notes("1 to start");
    scene
        .run(&["up", "--no-wait"])
        .exits(0)
        .notes("nothing to do");
    scene.run(&["down"]).exits(0);
}

#[test]
fn an_interrupt_detaches_and_nothing_stops() {
    let scene = Scene::new(NEVER_READY);
    let mut up = Going::start(scene.command(&["up"]));
    up.await_note("slow: starting");
    up.interrupt();
    let (code, err) = up.end();
    assert_eq!(code, 130, "{err}");
    assert!(err.contains("look with `baudbot status`"), "{err}");
    assert_eq!(state(&scene, "slow"), "starting");
}

#[test]
fn two_ups_at_once_end_in_one_project() {
    let scene = Scene::new(SHOP);
    let both = [
        Going::start(scene.command(&["up"])),
        Going::start(scene.command(&["up"])),
    ];
    for up in both {
        let (code, err) = up.end();
        assert_eq!(code, 0, "{err}");
    }
    let sleepers = scene
        .processes()
        .into_iter()
        .filter(|(_, line)| line.starts_with("sleep"))
        .count();
    assert_eq!(sleepers, 2);
}

#[test]
fn services_and_groups_are_started_stopped_and_restarted_by_name() {
    let scene = Scene::new(SHOP);
    scene.run(&["start", "db"]).exits(0);
    assert_eq!(state(&scene, "migrate"), "completed");
    assert_eq!(state(&scene, "web"), "inactive");
    scene.run(&["start", "@edge"]).exits(0);
    let (db, web) = (pid(&scene, "db"), pid(&scene, "web"));
    scene.run(&["restart", "web"]).exits(0);
    assert_eq!(pid(&scene, "db"), db);
    assert_ne!(pid(&scene, "web"), web);
    // What needs it goes along.
    scene.run(&["stop", "db"]).exits(0);
    assert_eq!(state(&scene, "web"), "inactive");
    scene.run(&["stop", "wbe"]).exits(2).notes("`web`");
    scene.run(&["up", "@egde"]).exits(2).notes("`@edge`");
}

#[test]
fn down_needs_no_manifest_that_can_be_read() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    scene.write(
        "baudbot.yaml",
        "version: 1\nproject: shop\nservices: [nonsense\n",
    );
    scene.run(&["up"]).exits(78);
    scene.run(&["status", "-p", "shop"]).exits(0).says("web");
    scene
        .run(&["logs", "-p", "shop", "-n", "1", "web"])
        .exits(0)
        .says("serving");
    scene
        .run(&["-p", "shop", "down"])
        .exits(0)
        .says("verified: ");
}

#[test]
fn now_does_not_wait_for_the_grace() {
    let scene = Scene::new(
        r#"
version: 1
project: stubborn
services:
  mule:
    command: [sh, -c, 'trap "" TERM; echo deaf; while :; do sleep 1000; done']
    ready: { log: deaf }
    stop: { timeout: 1h }
"#,
    );
    scene.run(&["up"]).exits(0);
    let late = scene.run(&["down", "--timeout", "200ms"]).exits(4);
    late.notes("`mule` is stopping").notes("down --now");
    scene.run(&["down", "--now"]).exits(0).says("verified: ");
    assert_eq!(scene.processes(), []);
}

/// Whoever keeps a stop waiting is named: in a pipe once, in `status`, and live on a terminal.
#[test]
fn a_stop_that_takes_its_time_names_whom_it_waits_for() {
    let scene = Scene::new(
        r#"
version: 1
project: stubborn
services:
  mule:
    command: [sh, -c, 'trap "" TERM; echo deaf; while :; do sleep 1000; done']
    ready: { log: deaf }
    stop: { timeout: 1h }
"#,
    );
    scene.run(&["up"]).exits(0);
    let mule = pid(&scene, "mule");
    let mut down = Going::start(scene.command(&["down"]));
    let named = format!("waits for {mule} (sh -c trap");
    down.await_note(&named);
    assert!(
        down.seen.contains(", which gets KILL after 1h"),
        "{}",
        down.seen
    );
    let awaited = status(&scene)["services"]["mule"]["awaits"].clone();
    assert!(awaited.as_str().unwrap().starts_with(&mule.to_string()));
    scene.run(&["status"]).says(&named);
    let terminal = Terminal::open(&scene, "baudbot down");
    terminal.await_text(&named);
    scene.run(&["down", "--now"]).exits(0);
    let (code, seen) = down.end();
    assert_eq!((code, seen.matches(&named).count()), (0, 1), "{seen}");
    terminal.await_text("exit=0");
}

#[test]
fn logs_are_merged_filtered_and_followed() {
    let scene = Scene::new(SHOP);
    scene.run(&["up"]).exits(0);
    insta::assert_snapshot!(scene.run(&["logs"]).exits(0).out, @r"
    migrate | migrated
    db      | listening
    web     | serving
    ");
    assert_eq!(
        scene.run(&["logs", "-n", "1"]).exits(0).out,
        "web     | serving\n"
    );
    assert_eq!(
        scene.run(&["logs", "@edge"]).exits(0).out,
        "web | serving\n"
    );
    scene
        .run(&["logs", "nobody"])
        .exits(2)
        .notes("no service is called `nobody`");
    let json = scene.run(&["logs", "--json", "db"]).exits(0).json();
    assert_eq!(json["service"], "db");
    assert_eq!(json["line"], "listening");
    assert_eq!(json["stream"], "stdout");

    let mut follow = scene
        .command(&["logs", "-f", "-n", "0", "web"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    scene.run(&["restart", "web"]).exits(0);
    assert_eq!(lines.next().unwrap().unwrap(), "web | serving");
    // It ends by itself once nobody reads it.
    drop(lines);
    scene.run(&["restart", "web"]).exits(0);
    assert_eq!(follow.wait().unwrap().code(), Some(0));
    // Logs outlive what wrote them.
    scene.run(&["down"]).exits(0);
    scene.run(&["logs", "db"]).exits(0).says("listening");
}

const LETTERS: &str = r#"
version: 1
project: letters
services:
  early: { type: task, command: 'printf "\033[31mred\033[0m\nplain\n"; sleep 0.01' }
  late: { type: task, command: 'echo later; echo red', depends_on: { early: { condition: completed } } }
  never: { type: task, command: 'true', when: { env: [NO_SUCH_VARIABLE] } }
"#;

#[test]
fn logs_are_chosen_by_time_and_by_text() {
    let scene = Scene::new(LETTERS);
    scene.run(&["up"]).exits(0);
    let out = |words: &[&str]| scene.run(&[&["logs"], words].concat()).exits(0).out;
    assert_eq!(out(&["--grep", "^red$"]), "early | red\nlate  | red\n");
    assert_eq!(out(&["-g", "red", "-n", "1"]), "late  | red\n");
    // On a terminal colours stay, and the text that is looked for has none.
    let coloured = scene.run(&["logs", "--color", "always", "-g", "^red$", "early"]);
    assert!(
        coloured
            .exits(0)
            .out
            .ends_with(" \x1b[31mred\x1b[0m\x1b[0m\n")
    );
    // Lines that were read together have one time; `late` started when `early` was over.
    let time_of = |service: &str| {
        let last = scene.run(&["logs", "--json", "-n", "1", service]).json();
        last["time"].as_str().unwrap().to_owned()
    };
    assert!(out(&["--since", &time_of("late")]).ends_with("late  | red\n"));
    assert!(!out(&["--since", &time_of("late")]).contains("early"));
    assert_eq!(
        out(&["--until", &time_of("early"), "-n", "1"]),
        "early | plain\n"
    );
    assert_eq!(out(&["--since", "1h", "--until", "1h ago"]), "");
    scene
        .run(&["logs", "-g", "no such line"])
        .exits(0)
        .notes("note: no line is as asked for");
    let stamped = out(&["-t", "late", "-n", "1"]);
    let (time, line) = stamped.split_at("2026-01-01 00:00:00.000 ".len());
    assert_eq!(line, "late | red\n");
    assert_eq!(
        out(&["late", "--since", time.trim(), "-g", "red"]),
        "late | red\n"
    );
    scene
        .run(&["logs", "never"])
        .exits(3)
        .notes("nothing was logged of `never` yet");
    scene
        .run(&["logs", "never", "late", "-n", "1"])
        .exits(0)
        .notes("note: nothing was logged of `never` yet");
    for wrong in [["--since", "soon"], ["--grep", "("]] {
        scene.run(&["logs", wrong[0], wrong[1]]).exits(2);
    }
}

const COUNTED: &str = r#"
version: 1
project: counted
services:
  counted: { command: 'echo x >> runs; echo "run $(wc -l < runs)"; exec sleep 1000', ready: { log: run } }
  once: { type: task, command: 'echo once' }
"#;

#[test]
fn the_run_before_is_told_from_the_latest() {
    let scene = Scene::new(COUNTED);
    scene.run(&["up"]).exits(0);
    scene
        .run(&["logs", "--previous"])
        .exits(3)
        .notes("there was no earlier run of `counted` and `once`");
    scene.run(&["restart", "counted"]).exits(0);
    scene.run(&["restart", "counted"]).exits(0);
    assert_eq!(
        scene.run(&["logs", "--previous"]).exits(0).out,
        "counted | run 2\n"
    );
    scene
        .run(&["logs", "--previous", "counted", "once"])
        .exits(0)
        .notes("note: there was no earlier run of `once`");
    // Also when a later supervisor wrote on.
    scene.run(&["down"]).exits(0);
    scene.run(&["up", "counted"]).exits(0);
    assert_eq!(
        scene.run(&["logs", "--previous", "counted"]).exits(0).out,
        "counted | run 3\n"
    );
}

const TERMINAL: &str = r#"
version: 1
project: term
services:
  screen: { type: tmux, command: [sh, -c, 'echo on-the-screen; exec sleep 1000'] }
  screenplay: { command: [sleep, '1000'] }
"#;

#[test]
fn attach_says_why_it_cannot() {
    let scene = Scene::new(TERMINAL);
    scene
        .run(&["attach", "screen"])
        .exits(3)
        .notes("help: start it with `baudbot start screen`");
    scene.run(&["up"]).exits(0);
    scene
        .run(&["attach", "screenplay"])
        .exits(1)
        .notes("attaching needs a terminal")
        .notes("logs -f screenplay");
    scene
        .run(&["attach", "scree"])
        .exits(2)
        .notes("no service is called `scree`");
    scene
        .run(&["attach", "screen"])
        .exits(1)
        .notes("needs a terminal");
}

/// A tmux server of the test's own, to have a terminal.
struct Terminal<'a> {
    scene: &'a Scene,
}

impl<'a> Terminal<'a> {
    fn open(scene: &'a Scene, typed: &str) -> Self {
        let terminal = Self { scene };
        let program = env!("CARGO_BIN_EXE_baudbot");
        let line = format!(
            "PATH={}:$PATH; {typed}; echo \"exit=$?\"; exec sleep 1000",
            std::path::Path::new(program).parent().unwrap().display()
        );
        terminal.tmux(&[
            "-f/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "-s",
            "outer",
            &line,
        ]);
        terminal
    }

    fn tmux(&self, words: &[&str]) -> Outcome {
        let mut command = self.scene.program("tmux");
        command
            .arg("-S")
            .arg(self.scene.work().join("outer.sock"))
            .args(words);
        Outcome::of(&mut command).exits(0)
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "outer"]).out
    }

    /// Looks again and again until the screen has this text.
    fn await_text(&self, text: &str) -> String {
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let format = "#{pid} #{pane_pid}";
        let told = self
            .tmux(&["display-message", "-p", "-t", "outer", format])
            .out;
        self.tmux(&["kill-server"]);
        // It says that it ends, and then does.
        for pid in told.split_whitespace() {
            while std::path::Path::new("/proc").join(pid).exists() {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
    }
}

#[test]
fn attach_shows_the_session_also_from_within_tmux() {
    let scene = Scene::new(TERMINAL);
    scene.run(&["up"]).exits(0);
    let terminal = Terminal::open(&scene, "baudbot attach screen");
    terminal.await_text("on-the-screen");
    // Detaching leaves the session as it is.
    terminal.tmux(&["send-keys", "-t", "outer", "C-b", "d"]);
    terminal.await_text("exit=0");
    assert_eq!(state(&scene, "screen"), "ready");
}

#[test]
fn on_a_terminal_progress_is_live_and_leaves_one_line_a_service() {
    let scene = Scene::new(SHOP);
    let terminal = Terminal::open(&scene, "baudbot up");
    let screen = terminal.await_text("exit=0");
    let lines: Vec<&str> = screen
        .lines()
        .filter(|line| line.starts_with('✓'))
        .collect();
    assert_eq!(lines.len(), 3, "{screen}");
    assert!(lines[0].starts_with("✓ migrate completed"), "{screen}");
    assert!(lines[2].starts_with("✓ web     ready"), "{screen}");
    assert!(!screen.contains("starting"), "{screen}");
}
