//! Every way to escape that is known, and that none of them helps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use baudbot::id::RunId;
use baudbot::sys::census::{Owner, Roots, Why};
use baudbot::sys::identity::{Exit, Identity, PidFd};
use baudbot::sys::process;
use baudbot::sys::sweep::{Limits, Outcome, present, sweep};

use crate::scene::{Scene, Started, await_gone, project_in};

const LIMITS: Limits = Limits {
    freeze: Duration::from_secs(5),
    kill: Duration::from_secs(20),
};

fn run_of(outcome: &Outcome) -> BTreeSet<i32> {
    let ended = outcome.ended.iter();
    ended.map(|member| member.identity.pid).collect()
}

/// Sweeps, and proves that nobody is left who ever said its pid.
fn sweep_all(scene: &Scene, started: Started, pids: &[i32]) -> Outcome {
    let roots = scene.roots(&started);
    let identities: Vec<Identity> = pids
        .iter()
        .filter_map(|pid| Identity::of(*pid).unwrap())
        .collect();
    let outcome = sweep(&roots, &LIMITS).unwrap();
    assert_eq!(outcome.survivors, [], "after {:#?}", outcome.ended);
    assert!(present(&roots).unwrap().is_empty());
    process::reap_orphans().unwrap();
    started.end();
    for identity in identities {
        assert!(
            PidFd::open_verified(&identity)
                .unwrap()
                .is_none_or(|handle| handle.is_over().unwrap()),
            "{} lives",
            identity.pid
        );
    }
    outcome
}

fn pid(line: &str) -> i32 {
    line.trim_end().parse().unwrap()
}

/// Starts a program, waits until `count` of its processes have said their pids, and sweeps.
fn escape(program: &str, count: usize) -> (Vec<i32>, Outcome) {
    let mut scene = Scene::new();
    let started = scene.start_python(1, program);
    let pids: Vec<i32> = (0..count).map(|_| pid(&scene.line())).collect();
    let outcome = sweep_all(&scene, started, &pids);
    let ended = run_of(&outcome);
    for pid in &pids {
        assert!(ended.contains(pid), "{pid} was not ended by the sweep");
    }
    (pids, outcome)
}

#[test]
fn a_child_in_the_group() {
    escape("os.fork(); say(os.getpid()); sleep()", 2);
}

#[test]
fn a_child_in_a_session_of_its_own() {
    escape("os.fork() or os.setsid(); say(os.getpid()); sleep()", 2);
}

#[test]
fn a_daemon_with_a_bare_environment() {
    let program = "
if daemonize():
    say(os.getpid())
    os.execve('/bin/sleep', ['sleep', '1000'], {})
sleep()";
    let (pids, outcome) = escape(program, 1);
    let daemon = outcome.ended.iter().find(|m| m.identity.pid == pids[0]);
    assert_eq!(daemon.unwrap().why.to_string(), "carries the mark of run 1");
}

#[test]
fn all_signals_ignored() {
    let program = "
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
os.fork()
say(os.getpid())
sleep()";
    escape(program, 2);
}

#[test]
fn all_descriptors_closed() {
    let program = "
if daemonize():
    os.closerange(0, 1000)
    say(os.getpid())
sleep()";
    escape(program, 1);
}

#[test]
fn a_leaver() {
    let program = "
if os.fork():
    os._exit(0)
os.setsid()
say(os.getpid())
sleep()";
    escape(program, 1);
}

#[test]
fn a_stopped_process() {
    let program = "
child = os.fork()
if child == 0:
    os.setsid()
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
say(child)
sleep()";
    escape(program, 1);
}

#[test]
fn a_renamed_process() {
    let program = r"
if daemonize():
    ctypes.CDLL(None).prctl(15, b'kworker/0:1', 0, 0, 0)
    say(os.getpid())
sleep()";
    escape(program, 1);
}

#[test]
fn a_zombie_leader_with_a_living_thread() {
    let program = r"
def outlive():
    while open(f'/proc/{os.getpid()}/stat').read().split(')')[-1].split()[0] != 'Z':
        time.sleep(0.001)
    say(os.getpid())
    sleep()
threading.Thread(target=outlive).start()
ctypes.CDLL(None).pthread_exit(None)";
    escape(program, 1);
}

#[test]
fn a_job_control_shell() {
    let mut scene = Scene::new();
    let script = "set -m; sh -c 'echo $$; sleep 1000' & sh -c 'echo $$; sleep 1000' & wait";
    let started = scene.start(1, &["bash", "-c", script]);
    let pids = [pid(&scene.line()), pid(&scene.line())];
    let outcome = sweep_all(&scene, started, &pids);
    assert!(run_of(&outcome).is_superset(&BTreeSet::from(pids)));
}

#[test]
fn new_user_and_pid_namespaces() {
    let mut scene = Scene::new();
    let script = "unshare -Urpf sh -c 'echo here; sleep 1000; true' || { echo none; sleep 1000; }";
    let started = scene.start(1, &["setsid", "-f", "sh", "-c", script]);
    if scene.line() == "none" {
        eprintln!("no user namespaces here");
    }
    sweep_all(&scene, started, &[]);
}

/// Forks every 20 ms, the parent exits, in a new session each time. What proves its death is that
/// its heart stands still.
#[test]
fn a_hopper() {
    let mut scene = Scene::new();
    let program = "
beat = 0
while True:
    beat += 1
    if beat == 5: say('hopping')
    open('heart', 'w').write(str(beat))
    time.sleep(0.02)
    if os.fork():
        os._exit(0)
    os.setsid()";
    let started = scene.start_python(1, program);
    assert_eq!(scene.line(), "hopping");
    sweep_all(&scene, started, &[]);
    let heart = fs::read(scene.path("heart")).unwrap();
    // There is no marker for what must not happen any more: ten beats of time.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fs::read(scene.path("heart")).unwrap(), heart);
}

/// As fast as it can, and four of them.
#[test]
fn fast_hoppers() {
    let mut scene = Scene::new();
    let program = "
os.fork(); os.fork()
beat = 0
while True:
    beat += 1
    if beat == 5: say('hopping')
    if os.fork():
        os._exit(0)
    os.setsid()";
    let started = scene.start_python(1, program);
    for _ in 0..4 {
        assert_eq!(scene.line(), "hopping");
    }
    sweep_all(&scene, started, &[]);
}

#[test]
fn many_members() {
    let mut scene = Scene::new();
    let program = "
for i in range(300):
    if os.fork() == 0:
        if i % 3 == 0: os.setsid()
        break
else:
    say('all')
sleep()";
    let started = scene.start_python(1, program);
    assert_eq!(scene.line(), "all");
    let outcome = sweep_all(&scene, started, &[]);
    assert!(outcome.ended.len() >= 301, "{}", outcome.ended.len());
}

#[test]
fn a_fork_on_term() {
    let mut scene = Scene::new();
    let program = "
def once_more(*_):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(os.getpid())
        sleep()
signal.signal(signal.SIGTERM, once_more)
say('armed')
sleep()";
    let started = scene.start_python(1, program);
    assert_eq!(scene.line(), "armed");
    for one in present(&scene.roots(&started)).unwrap() {
        one.handle.send(libc::SIGTERM).unwrap();
    }
    let child = pid(&scene.line());
    let outcome = sweep_all(&scene, started, &[child]);
    assert!(run_of(&outcome).contains(&child));
}

/// tmux continues the process of a pane as soon as it sees it stopped.
#[test]
fn somebody_who_thaws_what_is_frozen() {
    let mut scene = Scene::new();
    let program = "
child = os.fork()
if child == 0:
    os.setsid()
    sleep()
say(child)
while True:
    os.kill(child, signal.SIGCONT)";
    let started = scene.start_python(1, program);
    let child = pid(&scene.line());
    let began = Instant::now();
    sweep_all(&scene, started, &[child]);
    assert!(began.elapsed() < LIMITS.freeze + LIMITS.kill);
}

/// Slack: a process that lowers its own limit a little is still known.
#[test]
fn a_mark_that_was_lowered_a_little() {
    let program = "
import resource
if daemonize():
    soft, hard = resource.getrlimit(10)
    resource.setrlimit(10, (hard - 20, hard - 20))
    say(os.getpid())
sleep()";
    escape(program, 1);
}

/// A process that destroys its mark is still in its session, or the child of somebody who is known.
#[test]
fn a_mark_that_was_destroyed() {
    let program = "
import resource
resource.setrlimit(10, (0, 0))
if os.fork() == 0:
    os.setsid()
    os.fork()
say(os.getpid())
sleep()";
    let (_, outcome) = escape(program, 3);
    let mut whys: Vec<String> = outcome.ended.iter().map(|m| m.why.to_string()).collect();
    whys.sort();
    assert!(whys[0].starts_with("child of"), "{whys:?}");
    assert!(whys[1].starts_with("child of"), "{whys:?}");
    assert_eq!(whys[2], "is the process that was started");
}

#[test]
fn without_a_mark_group_session_and_descent_are_left() {
    let mut scene = Scene::new();
    let program = "
if os.fork() == 0:
    os.setsid()
    os.fork()
elif os.fork() == 0:
    os.setpgid(0, 0)
say(os.getpid())
sleep()";
    let mut launch = scene.python(1, program);
    launch.command.mark = None;
    let started = scene.start_launch(1, &launch).unwrap();
    let pids: Vec<i32> = (0..4).map(|_| pid(&scene.line())).collect();
    let roots = Roots {
        owner: None,
        ..scene.roots(&started)
    };
    let outcome = sweep(&roots, &LIMITS).unwrap();
    assert_eq!(outcome.survivors, []);
    assert_eq!(run_of(&outcome), pids.into_iter().collect());
    process::reap_orphans().unwrap();
    started.end();
}

/// As root: prlimit(2) is refused for another user's process without `CAP_SYS_RESOURCE`, and the
/// mark is read all the same.
#[test]
fn a_process_that_becomes_another_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let program = "
if daemonize():
    os.setgid(65534)
    os.setuid(65534)
    os.execve('/bin/sh', ['sh', '-c', f'echo $$ >{OUT}; exec sleep 1000'], {})
sleep()";
    let mut scene = Scene::new();
    let out = scene.path("out");
    fs::set_permissions(
        scene.dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    fs::set_permissions(&out, std::os::unix::fs::PermissionsExt::from_mode(0o622)).unwrap();
    let started = scene.start_python(1, program);
    let daemon = pid(&scene.line());
    let outcome = sweep_all(&scene, started, &[daemon]);
    let found = outcome.ended.iter().find(|m| m.identity.pid == daemon);
    assert!(matches!(found.unwrap().why, Why::Marked(_)));
}

#[test]
fn two_runs_are_swept_apart() {
    let mut scene = Scene::new();
    let program = "
if daemonize():
    say(os.getpid())
sleep()";
    let first = scene.start_python(1, program);
    let first_daemon = pid(&scene.line());
    let second = scene.start_python(2, program);
    let second_daemon = pid(&scene.line());
    let outcome = sweep_all(&scene, first, &[first_daemon]);
    assert!(!run_of(&outcome).contains(&second_daemon));
    assert!(!run_of(&outcome).contains(&second.pid()));
    let outcome = sweep_all(&scene, second, &[second_daemon]);
    assert!(run_of(&outcome).contains(&second_daemon));
}

#[test]
fn a_project_is_swept_whole_even_when_its_records_are_lost() {
    let mut scene = Scene::new();
    let program = "
if daemonize():
    say(os.getpid())
    sleep()";
    let runs = [
        scene.start_python(1, program),
        scene.start_python(2, program),
    ];
    let daemons = BTreeSet::from([pid(&scene.line()), pid(&scene.line())]);
    for run in runs {
        run.end();
    }
    let roots = Roots {
        owner: Some(Owner::Project(scene.project)),
        ..Roots::default()
    };
    let outcome = sweep(&roots, &LIMITS).unwrap();
    assert_eq!(outcome.survivors, []);
    assert_eq!(run_of(&outcome), daemons);
    process::reap_orphans().unwrap();
}

/// A ledger that names somebody else's process touches nobody.
#[test]
fn forged_identities_harm_nobody() {
    let scene = Scene::new();
    let other = scene.start(2, &["sleep", "1000"]);
    let forgeries = [
        Identity {
            boot_id: "00000000-0000-0000-0000-000000000000".into(),
            ..other.identity.clone()
        },
        Identity {
            start_time: other.identity.start_time + 1,
            ..other.identity.clone()
        },
    ];
    for forged in forgeries {
        for owner in [None, Some(Owner::Run(scene.project, RunId(1)))] {
            let roots = Roots {
                owner,
                leaders: vec![forged.clone()],
                ..Roots::default()
            };
            assert!(present(&roots).unwrap().is_empty());
            assert_eq!(sweep(&roots, &LIMITS).unwrap(), Outcome::default());
        }
    }
    assert!(
        !PidFd::open(other.pid())
            .unwrap()
            .unwrap()
            .is_over()
            .unwrap()
    );
    other.kill();
}

#[test]
fn an_empty_set_is_proven_at_once() {
    let scene = Scene::new();
    let roots = Roots {
        owner: Some(Owner::Project(scene.project)),
        ..Roots::default()
    };
    assert_eq!(sweep(&roots, &LIMITS).unwrap(), Outcome::default());
}

/// Waits until the nested supervisors and their daemons have said who they are.
fn nested(scene: &mut Scene, count: usize) -> BTreeMap<String, i32> {
    (0..count)
        .map(|_| {
            let line = scene.role_line();
            let (who, pid) = line.rsplit_once(' ').unwrap();
            (who.to_owned(), pid.parse().unwrap())
        })
        .collect()
}

fn kill(pid: i32) {
    let handle = PidFd::open(pid).unwrap().unwrap();
    handle.send(libc::SIGKILL).unwrap();
    await_gone(pid);
}

#[test]
fn the_outer_sweep_takes_the_inner_along() {
    let mut scene = Scene::new();
    let started = scene.start_role("supervisor of inner");
    let inner = nested(&mut scene, 2);
    let daemon = inner["inner daemon"];
    let outcome = sweep_all(&scene, started, &[daemon]);
    assert!(run_of(&outcome).contains(&daemon));
}

/// The inner supervisor is gone, and with it the descent of all that it started.
#[test]
fn the_outer_sweep_finds_the_inner_without_its_supervisor() {
    let mut scene = Scene::new();
    let started = scene.start_role("supervisor of inner");
    let inner = nested(&mut scene, 2);
    let daemon = inner["inner daemon"];
    kill(started.pid());
    let outcome = sweep_all(&scene, started, &[daemon]);
    let why = outcome.ended.iter().find(|m| m.identity.pid == daemon);
    assert!(matches!(why.unwrap().why, Why::Nested(_)), "{outcome:?}");
}

/// Both supervisors are gone; a process of the run between them is left, and links the two.
#[test]
fn the_innermost_is_found_through_what_is_left_in_between() {
    let mut scene = Scene::new();
    let started = scene.start_role("supervisor of inner with innermost");
    let inner = nested(&mut scene, 5);
    kill(inner["innermost supervisor"]);
    kill(started.pid());
    let left = ["inner daemon", "companion", "innermost daemon"].map(|who| inner[who]);
    let outcome = sweep_all(&scene, started, &left);
    assert!(run_of(&outcome).is_superset(&BTreeSet::from(left)));
}

#[test]
fn the_inner_project_is_swept_by_itself() {
    let mut scene = Scene::new();
    let started = scene.start_role("supervisor of inner");
    let inner = nested(&mut scene, 2);
    let roots = Roots {
        owner: Some(Owner::Project(project_in("inner", scene.dir.path()))),
        ..Roots::default()
    };
    let outcome = sweep(&roots, &LIMITS).unwrap();
    assert_eq!(outcome.survivors, []);
    assert!(run_of(&outcome).contains(&inner["inner daemon"]));
    assert!(!run_of(&outcome).contains(&started.pid()));
    assert_eq!(process::observe_exit(started.pid()).unwrap(), None);
    sweep_all(&scene, started, &[]);
}

#[test]
fn what_nobody_can_attribute_goes_with_the_project() {
    let mut scene = Scene::new();
    let started = scene.start_role("supervisor of what it cannot attribute");
    let said = scene.role_line();
    assert_eq!(
        said,
        format!("orphaned to the supervisor {}", started.pid())
    );
    assert_eq!(scene.role_line(), "1 ended, 0 left");
    assert_eq!(started.end(), Exit::Code(0));
}

/// As root: the sweeper gives up its rights, and says who is left and why.
#[test]
fn who_may_not_be_signalled_is_told() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut scene = Scene::new();
    let started = scene.start_role("sweeper without rights");
    assert_eq!(
        scene.role_line(),
        "sleep 1000 of root, which is the process that was started: \
         it runs as root, and we may not signal it"
    );
    assert_eq!(started.end(), Exit::Code(0));
    let roots = Roots {
        owner: Some(Owner::Run(scene.project, RunId(2))),
        ..Roots::default()
    };
    let left = sweep(&roots, &LIMITS).unwrap();
    assert_eq!((left.ended.len(), left.survivors.len()), (1, 0));
    process::reap_orphans().unwrap();
}
