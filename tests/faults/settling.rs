//! `up`, `start`, `restart` and `status --wait` answer from what is true once everything has settled.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::scene::{Outcome, Scene, finish, kill, wait_until};

/// Services that end too soon, by name, with their commands. They settle long after that, so that a
/// busy machine cannot make a survivor of one.
const TOO_SOON: [(&str, &str); 8] = [
    ("at-once-0", "exit 0"),
    ("at-once-1", "exit 1"),
    ("after-50-0", "sleep 0.05; exit 0"),
    ("after-50-1", "sleep 0.05; exit 1"),
    ("after-250-0", "sleep 0.25; exit 0"),
    ("after-250-1", "sleep 0.25; exit 1"),
    ("after-400-0", "sleep 0.4; exit 0"),
    ("after-400-1", "sleep 0.4; exit 1"),
];

fn manifest_of_those_that_end(restart: &str) -> String {
    let mut text = format!("defaults: {{settle: 20s, restart: {restart}}}\nservices:\n");
    for (name, command) in TOO_SOON {
        text += &format!("  {name}: {{command: \"{command}\"}}\n");
    }
    text
}

/// Gives the same order for each of these services at the same time; what each came to.
fn for_each<'a>(
    scene: &Scene,
    words: &[&str],
    names: impl IntoIterator<Item = &'a str>,
) -> Vec<(&'a str, Outcome)> {
    let begun: Vec<(&str, Child)> = names
        .into_iter()
        .map(|name| {
            let words = words.iter().chain(std::iter::once(&name));
            (name, scene.command(words).spawn().unwrap())
        })
        .collect();
    let ended = begun.into_iter();
    ended.map(|(name, child)| (name, finish(child))).collect()
}

#[test]
fn what_ends_too_soon_is_no_success_however_it_ends_and_whoever_asks() {
    let scene = Scene::new(&manifest_of_those_that_end("never"));
    let names = || TOO_SOON.map(|(name, _)| name);
    for words in [
        &["up"][..],
        // Again, after one that failed: the same answer.
        &["up"],
        &["start"],
        &["restart"],
        &["status", "--wait"],
    ] {
        for (name, outcome) in for_each(&scene, words, names()) {
            assert_eq!(outcome.code, Some(1), "{words:?} {name}: {outcome:?}");
        }
    }
    for name in names() {
        let (state, reason) = match name.ends_with('0') {
            true => ("inactive", "exited with 0 before it was ready"),
            false => ("failed", "exited with 1"),
        };
        let service = scene.service(name);
        assert_eq!(service["state"], state, "{name}: {service}");
        assert_eq!(service["reason"], reason, "{name}");
    }
    scene.run(["up"]).code(1);
    scene.end();
}

#[test]
fn an_end_before_it_was_ready_counts_whatever_its_code() {
    let restart = "{policy: always, delay: 1ms, max_delay: 1ms, max_failures: 2}";
    let scene = Scene::new(&format!(
        "{}  probed: {{command: \"exit 0\", ready: {{log: never}}}}\n  \
         waits: {{command: [sleep, '1000'], depends_on: [probed]}}\n",
        manifest_of_those_that_end(restart)
    ));
    for _ in 0..2 {
        scene.run(["up"]).code(1);
        let names = TOO_SOON.map(|(name, _)| name);
        for name in names.into_iter().chain(["probed"]) {
            let service = scene.service(name);
            assert_eq!(service["state"], "failed", "{name}: {service}");
            let reason = service["reason"].as_str().unwrap();
            let end = "; gave up after 2 failures in a row";
            assert!(reason.ends_with(end), "{name}: {reason}");
        }
    }
    scene.end();
}

#[test]
fn a_misspelled_program_is_no_success() {
    let scene = Scene::new("services: {web: {command: nosuchprogram --x, restart: never}}");
    for words in [["up", "web"], ["start", "web"], ["restart", "web"]] {
        let outcome = scene.run(words).code(1);
        let error = "error[run::service_failed]: `web` is failed: exited with 127";
        assert!(outcome.stderr.contains(error), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("not found"), "{}", outcome.stderr);
    }
    scene.end();
}

#[test]
fn what_stays_up_has_lived_for_its_time_and_its_dependents_have_not_waited() {
    let chain: String = (1..8)
        .map(|at| {
            let before = at - 1;
            format!("  s{at}: {{command: [sleep, '1000'], depends_on: [s{before}]}}\n")
        })
        .collect();
    let scene = Scene::new(&format!(
        "services:\n  s0: {{command: [sleep, '1000']}}\n{chain}"
    ));
    let begun = Instant::now();
    let up = scene.run(["up"]).success();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(!up.stderr.contains("settling"), "a pipe: {}", up.stderr);
    let status = scene.status();
    for at in 0..8 {
        let service = &status["services"][format!("s{at}")];
        assert_eq!(service["settled"], true, "{service}");
        assert_eq!(service["has_been_ready"], true, "{service}");
    }
    // They began together, though each of them depends on the one before.
    let events = scene.run(["events", "--json"]).stdout;
    let begins: Vec<usize> = (0..8)
        .map(|at| {
            let name = format!("\"service\":\"s{at}\"");
            let is_its_start =
                |line: &str| line.contains(&name) && line.contains("\"to\":\"ready\"");
            events.lines().position(is_its_start).unwrap()
        })
        .collect();
    assert!(begins.is_sorted(), "{begins:?}");
    scene.end();
}

#[test]
fn zero_turns_it_off_and_a_change_needs_no_restart() {
    let with =
        |settle: &str| format!("services: {{a: {{command: [sleep, '1000'], settle: {settle}}}}}");
    let scene = Scene::new(&with("1h"));
    scene.run(["up", "--no-wait"]).success();
    wait_until("it is ready", || scene.service("a")["state"] == "ready");
    assert_eq!(scene.service("a")["settled"], false);
    scene
        .run(["status", "--wait", "--timeout", "100ms"])
        .code(4);
    let pid = scene.pid("a");
    scene.edit(&with("0"));
    let plan = scene.run(["plan"]).success().stdout;
    assert!(plan.contains("updated without restart: settle"), "{plan}");
    scene.run(["up"]).success();
    assert_eq!(scene.pid("a"), pid);
    assert_eq!(scene.service("a")["settled"], true);
    scene.end();
}

#[test]
fn who_takes_over_from_a_killed_supervisor_waits_for_the_rest_of_the_time() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000'], settle: 4s}}");
    scene.run(["up", "--no-wait"]).success();
    wait_until("it is ready", || scene.service("a")["state"] == "ready");
    let pid = scene.pid("a");
    scene.crash_supervisor();
    wait_until("the next one answers", || {
        scene.status()["supervisor"]["pid"].is_i64() && scene.service("a")["pid"].is_i64()
    });
    scene.run(["status", "--wait"]).success();
    assert_eq!(scene.service("a")["settled"], true);
    assert_eq!(scene.pid("a"), pid);
    scene.end();
}

#[test]
fn nobody_is_answered_before_what_follows_has_come_to_rest() {
    let scene = Scene::new(
        "defaults: {settle: 0, restart: {policy: always, delay: 50ms}}\n\
         services:\n  \
         a: {command: 'date +%s%N > id; exec sleep 1000', exports: {id: {file: id}}, ready: {file: id}}\n  \
         b: {command: 'sleep 0.1; echo up; exec sleep 1000', ready: {log: up}, env: {ID: '${a.id}'}}\n  \
         c: {command: 'sleep 0.1; echo up; exec sleep 1000', ready: {log: up}, depends_on: {a: {restart: true}}}\n",
    );
    scene.run(["up"]).success();
    let runs = |scene: &Scene| ["a", "b", "c"].map(|name| scene.service(name)["run"].as_u64());
    let before = runs(&scene);
    kill(scene.pid("a"), 9);
    wait_until("it is missed", || {
        scene.service("a")["run"].as_u64() != before[0]
    });
    scene
        .run(["status", "--wait", "--timeout", "50s"])
        .success();
    let after = runs(&scene);
    for (before, after) in before.iter().zip(&after) {
        assert!(after > before, "{before:?} {after:?}");
    }
    // An order that restarts the one says what follows, and waits for it.
    let plan = scene.run(["plan", "restart", "a"]).success().stdout;
    assert!(plan.contains("restarts when `a.id` changes"), "{plan}");
    let restart = scene.run(["restart", "a"]).success();
    let text = &restart.stderr;
    assert!(text.contains("restarts when `a.id` changes"), "{text}");
    let last = runs(&scene);
    for (name, (before, after)) in ["a", "b", "c"].iter().zip(after.iter().zip(&last)) {
        assert!(after > before, "{name}: {before:?} {after:?}");
    }
    for name in ["a", "b", "c"] {
        scene.expect_state(name, "ready");
    }
    scene.end();
}

#[test]
fn what_fails_for_the_first_time_says_what_it_printed_and_is_not_waited_for_for_ever() {
    let scene = Scene::new(
        "services:\n  \
         web: {command: 'for i in 1 2 3 4 5; do echo line $i; done; exit 1', ready: {tcp: 1}, \
         restart: {delay: 100ms, max_delay: 100ms, max_failures: never}}\n  \
         app: {command: [sleep, '1000'], depends_on: [web]}\n",
    );
    for words in [&["up"][..], &["start", "app"], &["restart", "web"]] {
        scene.run(["down"]).success();
        let up = scene.run(words).code(1);
        let text = &up.stderr;
        let at = |needle: &str| {
            let found = text.find(needle);
            found.unwrap_or_else(|| panic!("{words:?}: no {needle:?} in {text}"))
        };
        let first = at("web: backoff: exited with 1; failure 1\n");
        let lines = at("the last lines of `web`:\n");
        assert!(first < lines, "{text}");
        let shown: Vec<&str> = text[lines..].lines().skip(1).take(4).collect();
        assert!(shown[0].ends_with("line 3"), "{text}");
        assert!(shown[2].ends_with("line 5"), "{text}");
        let help = "help: see the whole story with `baudbot why web`";
        assert_eq!(shown[3], help, "{text}");
        at("this goes on in the background");
    }
    let state = scene.service("web")["state"].clone();
    assert!(
        state == "backoff" || state == "starting" || state == "stopping",
        "{state}"
    );
    scene.end();
}

#[test]
fn the_last_lines_are_those_of_the_run_that_failed() {
    let scene = Scene::new(
        "services: {web: {command: 'test -e again || { touch again; echo of the first run; exit 1; }; \
         echo of the second run; exit 1', restart: {delay: 1ms, max_failures: 2}}}",
    );
    let up = scene.run(["up"]).code(1);
    let report = up.stderr.split("error[").nth(1).unwrap();
    assert!(report.contains("of the second run"), "{report}");
    assert!(!report.contains("of the first run"), "{report}");
    let why = scene.run(["why", "web"]).code(1).stdout;
    assert!(why.contains("of the second run"), "{why}");
    assert!(!why.contains("of the first run"), "{why}");
    // An order begins a new run too.
    let up = scene.run(["up"]).code(1);
    assert!(!up.stderr.contains("of the first run"), "{}", up.stderr);
    scene.end();
}

#[test]
fn one_cause_is_one_error_with_one_next_step() {
    let blocked: String = ["a", "b", "c", "x", "y", "z"]
        .iter()
        .map(|name| format!("  {name}: {{command: [sleep, '1000'], depends_on: [migrate]}}\n"))
        .collect();
    let scene = Scene::new(&format!(
        "services:\n{blocked}  chained: {{command: [sleep, '1000'], depends_on: [a]}}\n  \
         migrate: {{type: task, command: 'echo no such table; exit 3'}}\n"
    ));
    let up = scene.run(["up"]).code(1);
    let text = &up.stderr;
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    assert_eq!(text.matches("help:").count(), 1, "{text}");
    assert!(
        text.contains("`migrate` is failed: exited with 3"),
        "{text}"
    );
    assert!(text.contains("no such table"), "{text}");
    let waiting = "7 services wait for it: `a`, `b`, `c`, `chained`, `x`, `y` and `z`";
    assert!(text.contains(waiting), "{text}");
    let next = "once that is mended: `baudbot start migrate`";
    assert!(text.contains(next), "{text}");
    let service = scene.service("chained");
    assert_eq!(service["root_cause"], "migrate", "{service}");
    let table = scene.run(["status"]).code(1).stdout;
    let row = table.lines().find(|line| line.starts_with("chained"));
    assert!(row.unwrap().ends_with("by `migrate`"), "{table}");
    // The next step works: it brings up all that waited.
    scene.edit(&format!(
        "services:\n{blocked}  chained: {{command: [sleep, '1000'], depends_on: [a]}}\n  \
         migrate: {{type: task, command: 'exit 0'}}\n"
    ));
    scene.run(["start", "migrate"]).success();
    scene.run(["status", "--wait"]).success();
    scene.end();
}

/// Each run lives a little longer than `settle`, and none of them is a service that is up.
#[test]
fn a_service_that_fails_again_and_again_must_live_longer_to_count_as_up() {
    let scene = Scene::new(
        "services: {web: {command: 'n=$(cat n); echo $((n + 1)) > n; \
         [ $n = 0 ] && exit 1; sleep 0.65; exit 1', settle: 600ms, \
         restart: {delay: 10ms, max_delay: 10ms}}}",
    );
    std::fs::write(scene.path("n"), "0\n").unwrap();
    let up = scene.run(["up"]).code(1);
    assert!(!up.stderr.contains("web: ready"), "{}", up.stderr);
    scene.end();
}
