//! Supervisor and guardian are killed at random instants, again and again, while twenty services run,
//! some of which do what they can to get away. Afterwards every service is the one that it was, and
//! every line is there.
//!
//! `BAUDBOT_CHAOS_ROUNDS` and `BAUDBOT_CHAOS_SEED` make it longer and other; the seed is printed.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set its scene has failed"
)]

mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use scene::{Scene, is_alive, kill, wait_until};

/// So many rounds where nobody says otherwise.
const ROUNDS: u64 = 15;

/// As many lines a second each of the counters prints, more or less.
const COUNTERS: [(&str, f64); 4] = [
    ("fast", 0.001),
    ("wide", 0.002),
    ("slow", 0.02),
    ("err", 0.005),
];

/// `PID NUMBER padding`, each number noted after it was printed.
const COUNTER: &str = r#"
import os, sys, time
name, pause, stream = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
me, number = os.getpid(), 0
noted = os.open(f"printed.{name}.{me}", os.O_WRONLY | os.O_CREAT)
while True:
    number += 1
    line = f"{me} {number} {'x' * (number % 300)}\n".encode()
    while line:
        line = line[os.write(stream, line):]
    os.pwrite(noted, b"%012d" % number, 0)
    time.sleep(pause)
"#;

/// What every service begins with. It notes its birth, and that the incarnation before it is not
/// quite gone: the lock is held by all that descend from it.
const BIRTH: &str =
    r#"echo $$ >> born.NAME; exec 9>> lock.NAME; flock -n 9 || echo NAME >> doubled; "#;

/// How services stay, and what leaves them by which way.
const WAYS: [(&str, &str); 8] = [
    ("plain", "exec sleep 100000"),
    (
        "trap",
        "trap 'exit 0' TERM; while :; do sleep 100000 & wait; done",
    ),
    ("child", "sleep 100000 & exec sleep 100000"),
    ("session", "setsid sleep 100000 & exec sleep 100000"),
    (
        "double",
        "(setsid sh -c 'sleep 100000 & sleep 100000 &') & exec sleep 100000",
    ),
    (
        "bare",
        "(exec setsid env -i sleep 100000) & exec sleep 100000",
    ),
    (
        "deaf",
        "(trap '' TERM HUP; setsid sleep 100000) & exec sleep 100000",
    ),
    (
        "stopped",
        "sh -c 'kill -STOP $$; exec sleep 100000' & exec sleep 100000",
    ),
];

struct Dice(u64);

impl Dice {
    /// A number below `limit` (xorshift64*).
    fn roll(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Twenty services.
fn manifest() -> String {
    let mut services = String::from("services:\n");
    let mut add = |name: &str, kind: &str, command: &str| {
        let birth = BIRTH.replace("NAME", name);
        let command = format!("{birth}{command}")
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        services += &format!(
            "  {name}: {{type: {kind}, command: \"{command}\", stop: {{timeout: 2s}}, log: {{max_size: 200KB, keep: 2000}}}}\n"
        );
    };
    for (name, pause) in COUNTERS {
        let stream = if name == "err" { 2 } else { 1 };
        add(
            name,
            "process",
            &format!("exec python3 counter.py {name} {pause} {stream}"),
        );
    }
    for (name, command) in WAYS {
        add(name, "process", command);
        if name != "stopped" && name != "bare" {
            add(&format!("{name}-too"), "process", command);
        }
    }
    add("pane", "tmux", "exec sleep 100000");
    add(
        "pane-too",
        "tmux",
        "setsid sleep 100000 & exec sleep 100000",
    );
    services
}

/// Who holds the project's lock, and who guards it, as the lock file has it; only processes that
/// are this scene's.
fn supervision(scene: &Scene) -> (Option<i32>, Option<i32>) {
    let lock = fs::read_to_string(scene.state_dir().join("lock")).unwrap_or_default();
    let holder: serde_json::Value = serde_json::from_str(&lock).unwrap_or_default();
    let state = scene.state_dir().display().to_string();
    let ours = |pid: &serde_json::Value| {
        let pid = i32::try_from(pid.as_i64()?).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        (is_alive(pid) && String::from_utf8_lossy(&line).contains(&state)).then_some(pid)
    };
    (ours(&holder["pid"]), ours(&holder["guardian"]["pid"]))
}

fn end(pid: Option<i32>) {
    if let Some(pid) = pid {
        kill(pid, 9);
    }
}

/// Kills somebody, or both in either order.
fn strike(scene: &Scene, dice: &mut Dice) -> &'static str {
    let (supervisor, guardian) = supervision(scene);
    match dice.roll(5) {
        0 | 1 => {
            end(supervisor);
            "the supervisor"
        }
        2 => {
            end(guardian);
            "the guardian"
        }
        3 => {
            end(supervisor);
            end(guardian);
            "both, the supervisor first"
        }
        _ => {
            end(guardian);
            end(supervisor);
            "both, the guardian first"
        }
    }
}

/// The pids of all services that are ready.
fn ready(scene: &Scene) -> BTreeMap<String, i64> {
    let status = scene.status();
    let services = status["services"].as_object().unwrap();
    services
        .iter()
        .filter(|(_, service)| service["state"] == "ready")
        .filter_map(|(name, service)| Some((name.clone(), service["pid"].as_i64()?)))
        .collect()
}

/// Every line of each counter is in its log, once and in order; returns how many lines there are.
#[track_caller]
fn expect_every_line(scene: &Scene) -> u64 {
    let mut count = 0;
    for (name, _) in COUNTERS {
        let log = scene.run(["logs", name]).success().stdout;
        let mut last = 0;
        let mut pid = String::new();
        for line in log.lines() {
            let mut words = line.split(' ').skip_while(|word| *word != "|").skip(1);
            pid = words.next().unwrap_or_default().to_owned();
            let number: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            assert_eq!(number, last + 1, "{name}: {line}");
            last = number;
            count += 1;
        }
        let noted = scene.path(&format!("printed.{name}.{pid}"));
        let noted: u64 = fs::read_to_string(noted).unwrap().parse().unwrap();
        assert!(last >= noted, "{name} printed {noted}, logged are {last}");
    }
    count
}

#[test]
fn whoever_is_killed_whenever_services_do_not_notice() {
    let rounds = number_from("BAUDBOT_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = number_from("BAUDBOT_CHAOS_SEED").unwrap_or(20_261_125);
    eprintln!("BAUDBOT_CHAOS_SEED={seed} BAUDBOT_CHAOS_ROUNDS={rounds}");
    let mut dice = Dice(seed.max(1));
    let scene = Scene::new(&manifest());
    fs::write(scene.path("counter.py"), COUNTER).unwrap();
    scene.run(["up"]).success();
    let before = ready(&scene);
    assert_eq!(before.len(), 20, "{before:?}");

    let mut struck: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..rounds {
        std::thread::sleep(Duration::from_millis(dice.roll(200)));
        *struck.entry(strike(&scene, &mut dice)).or_default() += 1;
        match dice.roll(4) {
            // Another blow into the recovery.
            0 => {
                std::thread::sleep(Duration::from_millis(dice.roll(50)));
                *struck.entry(strike(&scene, &mut dice)).or_default() += 1;
            }
            // Somebody brings it back, and is struck meanwhile.
            1 => {
                let up = scene.command(["up"]).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(dice.roll(100)));
                *struck.entry(strike(&scene, &mut dice)).or_default() += 1;
                scene::finish(up);
            }
            2 => {
                scene.run(["status"]);
            }
            _ => {}
        }
        if dice.roll(3) == 0 {
            scene.run(["up"]).success();
        }
    }
    scene.run(["up"]).success();
    wait_until("all are ready", || ready(&scene).len() == 20);
    assert_eq!(ready(&scene), before, "the processes that there were");
    for name in before.keys() {
        let born = fs::read_to_string(scene.path(&format!("born.{name}"))).unwrap();
        assert_eq!(born.lines().count(), 1, "{name} was started again: {born}");
    }
    assert!(!scene.path("doubled").exists());
    scene.run(["down"]).success();
    let lines = expect_every_line(&scene);
    eprintln!("killed {struck:?}; {lines} lines, none lost, none twice");
    scene.end();
}
