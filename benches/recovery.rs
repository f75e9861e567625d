//! From `kill -9` of the supervisor to full supervision again, for 1, 100 and 1,000 services; what
//! supervisor and guardian take of memory; what becomes of a service's lines meanwhile; how long an
//! answer takes while a service prints without end.
//!
//! Full supervision is reached when `status` names another supervisor and every service is ready
//! with the pid that it had. The floor is one answer of `status` in the same world.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// As many lines a second the counter prints, about.
const LINES_A_SECOND: u32 = 10_000;

const COUNTER: &str = r#"
import os, sys, time
number, begun, rate = 0, time.monotonic(), int(sys.argv[1])
while True:
    while number < (time.monotonic() - begun) * rate:
        number += 1
        line = f"{number} {'x' * 80}\n".encode()
        while line:
            line = line[os.write(1, line):]
    noted = os.open("printed", os.O_WRONLY | os.O_CREAT)
    os.pwrite(noted, b"%012d" % number, 0)
    os.close(noted)
    time.sleep(0.001)
"#;

struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new(services: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("bb-")
            .tempdir_in("/tmp")
            .expect("a scratch directory");
        for name in ["run", "state", "work"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let world = Self { directory };
        let manifest = format!("version: 1\nproject: bench\nservices:\n{services}");
        world.put("baudbot.yaml", &manifest);
        world.put("counter.py", COUNTER);
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let mut file = fs::File::create(self.at("work").join(name)).expect("a file");
        file.write_all(text.as_bytes()).expect("room");
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_baudbot"))
            .args(arguments)
            .current_dir(self.at("work"))
            .env("HOME", self.at("work"))
            .env("XDG_RUNTIME_DIR", self.at("run"))
            .env("XDG_STATE_HOME", self.at("state"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .expect("the program runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"])).unwrap_or_default()
    }

    /// Supervisor and guardian.
    fn supervision(&self) -> (i32, i32) {
        let status = self.status();
        let pid = |name: &str| {
            let pid = status["supervisor"][name].as_i64().unwrap_or_default();
            i32::try_from(pid).unwrap_or_default()
        };
        (pid("pid"), pid("guardian_pid"))
    }

    /// The services that are ready, with their pids, under a supervisor other than `before`.
    fn ready(&self, before: i32) -> BTreeMap<String, i64> {
        let status = self.status();
        if status["supervisor"]["pid"].as_i64() == Some(i64::from(before)) {
            return BTreeMap::new();
        }
        let services = status["services"].as_object().cloned().unwrap_or_default();
        services
            .into_iter()
            .filter(|(_, service)| service["state"] == "ready")
            .filter_map(|(name, service)| Some((name, service["pid"].as_i64()?)))
            .collect()
    }
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("a process of ours");
}

/// What a process has for itself and its share of what it shares, in KiB (`proc_pid_smaps(5)`).
fn memory(pid: i32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let of = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_suffix("kB"))
            .filter_map(|number| number.trim().parse::<u64>().ok())
            .sum()
    };
    (of("Pss:"), of("Private_Dirty:"))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn recovery(count: u32, rounds: u32) {
    let services: String = (0..count)
        .map(|number| format!("  s{number}: {{command: [sleep, '100000']}}\n"))
        .collect();
    let world = World::new(&services);
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    let mut sizes = String::new();
    for _ in 0..rounds {
        // A guardian of its own for each: it follows a first crash at once.
        world.run(&["up"]);
        let all = world.ready(0);
        assert_eq!(all.len(), count as usize, "all are ready");
        let begun = Instant::now();
        world.status();
        floors.push(begun.elapsed());
        let (supervisor, guardian) = world.supervision();
        let ((pss, private), (guardian_pss, guardian_private)) =
            (memory(supervisor), memory(guardian));
        sizes = format!(
            "supervisor {pss} KiB PSS ({private} private), guardian {guardian_pss} KiB PSS ({guardian_private} private)"
        );
        let begun = Instant::now();
        kill(supervisor);
        while world.ready(supervisor) != all {
            assert!(begun.elapsed() < Duration::from_secs(120), "it comes back");
        }
        times.push(begun.elapsed());
        world.run(&["down", "--now"]);
    }
    println!(
        "{count:>5} services: supervised again after {:.1?}, one status {:.1?}; {sizes}",
        median(times),
        median(floors),
    );
}

fn lines() {
    let world = World::new(&format!(
        "  a: {{command: [python3, counter.py, '{LINES_A_SECOND}'], log: {{max_size: 1GiB}}}}\n"
    ));
    world.run(&["up"]);
    let begun = Instant::now();
    let mut kills = 0;
    while kills < 5 {
        std::thread::sleep(Duration::from_millis(700));
        let (supervisor, _) = world.supervision();
        kill(supervisor);
        kills += 1;
        world.run(&["up"]);
    }
    world.run(&["down"]);
    let elapsed = begun.elapsed();
    let log = world.run(&["logs", "a"]);
    let mut last = 0_u64;
    let (mut lost, mut doubled) = (0, 0);
    for line in log.lines() {
        let word = line.split(' ').skip_while(|word| *word != "|").nth(1);
        let number: u64 = word.and_then(|word| word.parse().ok()).unwrap_or(0);
        match number {
            next if next == last + 1 => {}
            next if next <= last => doubled += 1,
            next => lost += next - last - 1,
        }
        last = last.max(number);
    }
    let printed = noted(&world.at("work").join("printed"));
    lost += printed.saturating_sub(last);
    println!(
        "{last} lines in {elapsed:.1?} ({:.0} a second) across {kills} kills: {lost} lost, {doubled} doubled",
        last as f64 / elapsed.as_secs_f64()
    );
}

fn noted(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// What a gigabyte of output costs, and what others notice of it.
fn flood() {
    let size = 1_u64 << 30;
    let world = World::new(&format!(
        "  quiet: {{command: [sleep, '100000']}}\n  loud: {{type: task, command: \"yes 'a line of output that says the same as the line before' | head -c {size}\", log: {{max_size: 10MB, keep: 2}}}}\n"
    ));
    world.run(&["up", "quiet"]);
    let begun = Instant::now();
    world.run(&["up", "--no-wait"]);
    let mut answers = Vec::new();
    loop {
        let asked = Instant::now();
        let status = world.status();
        answers.push(asked.elapsed());
        if status["services"]["loud"]["state"] == "completed" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(600), "it ends");
    }
    let elapsed = begun.elapsed();
    let (supervisor, _) = world.supervision();
    let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let slowest = answers.iter().max().copied().unwrap_or_default();
    println!(
        "1 GiB of lines in {elapsed:.1?} ({:.0} MB/s); peak of the supervisor {}; a status meanwhile: median {:?}, slowest {slowest:?}",
        size as f64 / 1e6 / elapsed.as_secs_f64(),
        peak.unwrap_or_default().trim(),
        median(answers),
    );
    world.run(&["down", "--now"]);
}

fn main() {
    for (count, rounds) in [(1, 5), (100, 3), (1000, 1)] {
        recovery(count, rounds);
    }
    lines();
    flood();
}
