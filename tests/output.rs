//! The way of the output from a service to its log: under load, across kills, without room.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use scene::{Scene, is_alive, kill, wait_until};

/// Prints `PID NUMBER padding` as fast as is asked, and notes each number after it was printed.
const COUNTER: &str = r#"
import os, sys, time
pause, me, number = float(sys.argv[1]), os.getpid(), 0
noted = os.open(f"printed.{me}", os.O_WRONLY | os.O_CREAT)
while True:
    number += 1
    line = f"{me} {number} {'x' * (number % 200)}\n".encode()
    while line:
        line = line[os.write(1, line):]
    os.pwrite(noted, b"%012d" % number, 0)
    if pause:
        time.sleep(pause)
"#;

/// How far each counter came, by its pid, as it noted itself.
fn printed(scene: &Scene) -> BTreeMap<String, u64> {
    fs::read_dir(scene.work())
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let pid = name.strip_prefix("printed.")?.to_owned();
            let number = fs::read_to_string(entry.path()).ok()?.parse().ok()?;
            Some((pid, number))
        })
        .collect()
}

/// Every line of each counter is in the logs once and in order; returns how many there are.
#[track_caller]
fn expect_whole(scene: &Scene, log: &str) -> u64 {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = 0;
    for line in log.lines() {
        let mut words = line.split(' ').skip_while(|word| *word != "|").skip(1);
        let (Some(pid), Some(number)) = (words.next(), words.next()) else {
            panic!("no line of ours: {line}");
        };
        let number: u64 = number.parse().unwrap_or_else(|_| panic!("torn: {line}"));
        let before = last.insert(pid.to_owned(), number).unwrap_or(0);
        assert_eq!(number, before + 1, "of {pid}");
        let padding = words.next().map_or(0, str::len);
        assert_eq!(padding as u64, number % 200, "{line}");
        count += 1;
    }
    for (pid, number) in printed(scene) {
        let logged = last.get(&pid).copied().unwrap_or(0);
        assert!(
            logged >= number,
            "{pid} printed {number}, logged are {logged}"
        );
    }
    count
}

fn counter(pause: &str, log: &str) -> Scene {
    let scene = Scene::new(&format!(
        "services: {{a: {{command: [python3, counter.py, '{pause}'], log: {log}}}}}"
    ));
    fs::write(scene.path("counter.py"), COUNTER).unwrap();
    scene.run(["up"]).success();
    scene
}

#[test]
fn no_line_is_lost_or_doubled_while_supervisors_are_killed() {
    let scene = counter("0.0002", "{max_size: 1GiB, keep: 2}");
    for round in 0..6 {
        let before: u64 = printed(&scene).values().sum();
        wait_until("more lines", || {
            printed(&scene).values().sum::<u64>() > before + 200
        });
        if round % 2 == 0 {
            scene.kill_supervisor();
        } else {
            scene.crash_supervisor();
        }
        scene.run(["up"]).success();
    }
    scene.run(["down"]).success();
    let log = scene.run(["logs"]).success().stdout;
    let lines = expect_whole(&scene, &log);
    assert!(lines >= 1200, "{lines}");
    scene.end();
}

#[test]
fn rotation_under_load_loses_and_doubles_nothing_while_supervisors_are_killed() {
    let scene = counter("0", "{max_size: 100KB, keep: 2000}");
    for _ in 0..4 {
        let before: u64 = printed(&scene).values().sum();
        wait_until("more lines", || {
            printed(&scene).values().sum::<u64>() > before + 5000
        });
        scene.kill_supervisor();
        scene.run(["up"]).success();
    }
    scene.run(["down"]).success();
    let log = scene.run(["logs"]).success().stdout;
    expect_whole(&scene, &log);
    let files = fs::read_dir(scene.state_dir().join("logs"))
        .unwrap()
        .flatten();
    let sizes: Vec<u64> = files.map(|entry| entry.metadata().unwrap().len()).collect();
    assert!(
        sizes.len() > 10 && sizes.iter().all(|size| *size <= 100_000),
        "{sizes:?}"
    );
    scene.end();
}

#[test]
fn a_service_that_prints_without_end_starves_nobody_and_costs_no_memory() {
    let scene = Scene::new(
        r#"
services:
  lines: {command: [sh, -c, "yes 'the same line again and again'"], log: {max_size: 1MB, keep: 2}}
  bytes: {command: [sh, -c, "exec cat /dev/zero"], log: {max_size: 1MB, keep: 2}}
  quiet: {command: [sh, -c, "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 1000 & wait; done"]}
"#,
    );
    scene.run(["up"]).success();
    let supervisor = scene.supervisor();
    let written = || {
        let io = fs::read_to_string(format!("/proc/{supervisor}/io")).unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        line.map_or(0, |number| number.parse().unwrap_or(0))
    };
    let begun = Instant::now();
    let mut slowest = 0;
    wait_until("64 MB went through", || {
        let asked = Instant::now();
        scene.expect_state("quiet", "ready");
        slowest = slowest.max(asked.elapsed().as_millis());
        written() > 64_000_000_u64
    });
    assert!(scene.logs("quiet").contains("hello"));
    let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .unwrap();
    assert!(peak < 64_000, "{peak} kB");
    eprintln!(
        "64 MB in {:?}, slowest answer {slowest} ms, peak {peak} kB",
        begun.elapsed()
    );
    scene.end();
}

/// Runs `up` with a limit on the size of files, which supervisor and services inherit.
fn up_with_file_limit(scene: &Scene, blocks: u32) {
    let mut shell = scene.program("sh");
    let script = format!("ulimit -f {blocks}; exec \"$0\" up");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_baudbot")]);
    scene::finish(shell.spawn().unwrap()).success();
}

#[test]
fn what_has_no_room_is_dropped_and_counted_and_the_service_goes_on() {
    let scene = Scene::new(
        r#"services: {a: {command: "trap 'exit 0' TERM; while :; do echo a line that is long enough to fill a file; done", log: {max_size: 1MB}}}"#,
    );
    // 512 bytes each.
    up_with_file_limit(&scene, 200);
    let (supervisor, service) = (scene.supervisor(), scene.pid("a"));
    let log = scene.state_dir().join("supervisor.log");
    wait_until("it is told", || {
        fs::read_to_string(&log)
            .unwrap_or_default()
            .contains("a log cannot be written, output is dropped: File too large")
    });
    scene.expect_state("a", "ready");
    assert_eq!((scene.supervisor(), scene.pid("a")), (supervisor, service));
    // What is there is whole.
    let text = scene.logs("a");
    let is_whole = |line: &str| line.ends_with("to fill a file") || line.contains("[baudbot] ");
    assert!(text.lines().all(is_whole), "{text}");
    // Room is made by a rotation that somebody forces from outside.
    let file = scene.state_dir().join("logs/a.log");
    fs::rename(&file, scene.state_dir().join("logs/a.log.1")).unwrap();
    fs::remove_file(scene.state_dir().join("logs/a.log.1")).unwrap();
    wait_until("it is told that it goes on", || {
        fs::read_to_string(&file)
            .unwrap_or_default()
            .contains("[baudbot] ")
    });
    scene.end();
}

#[test]
fn a_log_that_somebody_removed_is_begun_anew() {
    let scene = counter("0.001", "{}");
    let file = scene.state_dir().join("logs/a.log");
    let has_lines = |file: &Path| fs::metadata(file).is_ok_and(|found| found.len() > 0);
    wait_until("lines", || has_lines(&file));
    fs::remove_dir_all(scene.state_dir().join("logs")).unwrap();
    wait_until("lines again", || has_lines(&file));
    let service = scene.pid("a");
    kill(service, 15);
    wait_until("it is gone", || !is_alive(service));
    scene.end();
}
