//! What containment costs: see `benches/README.md`.
//!
//! Each time is compared with a floor that is measured in the same run on the same machine, so that
//! the ratio tells more than the figure.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up has failed"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use baudbot::id::{ProjectName, RunId};
use baudbot::sys::census::{Census, Owner, Roots};
use baudbot::sys::escape::{Fork, fork};
use baudbot::sys::identity::{Identity, PidFd};
use baudbot::sys::mark::{Mark, Nesting, ProjectId, read_mark};
use baudbot::sys::process;
use baudbot::sys::sweep::{Limits, sweep};
use nix::unistd::{Pid, getpgid, getsid};

const FOREIGN: usize = 2000;
const MEMBERS: usize = 20;
const SERVICES: usize = 200;
const ESCAPING: usize = 20;
const ROUNDS: usize = 50;

fn main() {
    // `cargo test --benches` asks for a list, and gets an empty one.
    if std::env::args().any(|word| word == "--list") {
        return;
    }
    process::set_subreaper().unwrap();
    let scratch = tempfile::Builder::new()
        .prefix("bb-")
        .tempdir_in("/tmp")
        .unwrap();
    looks(scratch.path());
    downs(scratch.path());
}

/// A child that rests until it is ended; with a mark, if one is given.
fn rest(mark: Option<Mark>) -> i32 {
    match fork().unwrap() {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            if let Some(mark) = mark {
                mark.apply().unwrap();
            }
            nix::unistd::setsid().unwrap();
            std::thread::sleep(Duration::from_secs(600));
            std::process::exit(0)
        }
    }
}

fn end(pids: &[i32]) {
    for pid in pids {
        if let Some(handle) = PidFd::open(*pid).unwrap() {
            handle.send(libc::SIGKILL).unwrap();
        }
    }
    for pid in pids {
        let _ = nix::sys::wait::waitpid(Pid::from_raw(*pid), None);
    }
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}

fn say(what: &str, time: Duration, floor: Option<Duration>) {
    let ratio = floor.map_or_else(String::new, |floor| {
        format!(
            "{:6.1} × the floor",
            time.as_secs_f64() / floor.as_secs_f64()
        )
    });
    let milliseconds = time.as_secs_f64() * 1000.0;
    println!("{what:<58}{milliseconds:9.2} ms {ratio}");
    std::io::stdout().flush().unwrap();
}

/// One look, and one sweep, among many processes of others.
fn looks(scratch: &Path) {
    let project = ProjectId::new(&ProjectName::new("bench").unwrap(), scratch);
    let mark = Mark::for_run(project, RunId(1), Nesting::here().unwrap());
    let foreign: Vec<i32> = (0..FOREIGN).map(|_| rest(None)).collect();
    let members: Vec<i32> = (0..MEMBERS).map(|_| rest(Some(mark))).collect();
    let roots = Roots {
        owner: Some(Owner::Run(project, RunId(1))),
        leaders: Identity::of(members[0]).unwrap().into_iter().collect(),
        spared: vec![std::process::id().cast_signed()],
        ..Roots::default()
    };
    while Census::take(std::slice::from_ref(&roots))
        .unwrap()
        .members(&roots)
        .len()
        < MEMBERS
    {
        std::thread::yield_now();
    }
    let all = fs::read_dir("/proc").unwrap().count();
    println!("{FOREIGN} foreign processes, {MEMBERS} members, {all} entries in /proc");
    let rounds = || 0..ROUNDS;
    // What any look must do that asks the kernel for each process: these are its cheapest calls.
    let floor = median(
        rounds()
            .map(|_| {
                timed(|| {
                    for pid in &foreign {
                        let pid = Pid::from_raw(*pid);
                        let _ = (
                            getpgid(Some(pid)),
                            getsid(Some(pid)),
                            read_mark(pid.as_raw()),
                        );
                    }
                })
                .0
            })
            .collect(),
    );
    say(
        "floor: getpgid, getsid and prlimit of each foreign process",
        floor,
        None,
    );
    let listing = median(
        rounds()
            .map(|_| timed(|| fs::read_dir("/proc").unwrap().count()).0)
            .collect(),
    );
    say("listing /proc", listing, Some(floor));
    let census = median(
        rounds()
            .map(|_| {
                let (time, found) = timed(|| {
                    let census = Census::take(std::slice::from_ref(&roots)).unwrap();
                    census.members(&roots).len()
                });
                assert_eq!(found, MEMBERS);
                time
            })
            .collect(),
    );
    say("census: who belongs to the run", census, Some(floor));
    let naive = median(
        (0..ROUNDS / 5)
            .map(|_| {
                timed(|| {
                    for pid in &foreign {
                        let _ = fs::read(format!("/proc/{pid}/stat"));
                    }
                })
                .0
            })
            .collect(),
    );
    say(
        "for comparison: reading /proc/PID/stat of each foreign process",
        naive,
        Some(floor),
    );
    let nobody = Roots {
        owner: Some(Owner::Run(project, RunId(2))),
        ..Roots::default()
    };
    let empty = median(
        rounds()
            .map(|_| timed(|| sweep(&nobody, &Limits::default()).unwrap()).0)
            .collect(),
    );
    say("sweep that proves an empty set", empty, Some(floor));
    let (time, outcome) = timed(|| sweep(&roots, &Limits::default()).unwrap());
    assert_eq!((outcome.ended.len(), outcome.survivors.len()), (MEMBERS, 0));
    say(
        "sweep of the members: freeze, kill, prove",
        time,
        Some(floor),
    );
    end(&foreign);
    end(&members);
}

/// `down` of many services, of which some escape.
fn downs(scratch: &Path) {
    println!("{SERVICES} services, of which {ESCAPING} escape as double-forked daemons");
    let executable = env!("CARGO_BIN_EXE_baudbot");
    let service = |number: usize| {
        let dir = scratch.join(number.to_string());
        let command = if number < ESCAPING {
            fs::create_dir_all(&dir).unwrap();
            serde_json::json!([executable, "__trick", "as-daemon", dir, "stop"])
        } else {
            serde_json::json!(["sleep", "1000"])
        };
        (
            format!("s{number}"),
            serde_json::json!({ "command": command }),
        )
    };
    let services: serde_json::Map<_, _> = (0..SERVICES).map(service).collect();
    let manifest = serde_json::json!({"version": 1, "project": "bench", "services": services});
    fs::write(scratch.join("baudbot.yaml"), manifest.to_string()).unwrap();
    let run = |argument: &str| {
        let mut command = Command::new(executable);
        command
            .arg(argument)
            .current_dir(scratch)
            .stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.env("XDG_STATE_HOME", scratch.join("state"));
        command.env("XDG_RUNTIME_DIR", scratch.join("run"));
        let (time, status) = timed(|| command.status().unwrap());
        assert!(status.success(), "{argument}: {status}");
        time
    };
    let up = run("up");
    let escaped = || {
        let signed = |number: &usize| {
            let members = baudbot::selftest::members(&scratch.join(number.to_string()));
            members.is_ok_and(|members| members.len() == 2)
        };
        (0..ESCAPING).filter(signed).count()
    };
    while escaped() < ESCAPING {
        std::thread::sleep(Duration::from_millis(5));
    }
    let down = run("down");
    say("up", up, None);
    say(
        "down: all stopped, swept, and proven to be gone",
        down,
        Some(up),
    );
    let left = (0..ESCAPING)
        .flat_map(|number| baudbot::selftest::members(&scratch.join(number.to_string())).unwrap());
    assert_eq!(left.filter(Identity::is_alive).count(), 0);
    process::reap_orphans().unwrap();
}
