//! Roles that a process of its own must play: the test binary executes itself for them.

use std::path::{Path, PathBuf};

use baudbot::id::RunId;
use baudbot::sys::census::{Owner, Roots};
use baudbot::sys::mark::{Mark, Nesting};
use baudbot::sys::process::{self, Gated, Launch, fork_gated};
use baudbot::sys::sweep::{Limits, present, sweep};

use crate::scene::{
    await_end, become_python, become_role, launch_in, make_fifo, project_in, read_to_end,
};

#[test]
#[ignore = "a role, started by other tests in a process of its own"]
fn play() {
    let Some(role) = std::env::var_os("ROLE") else {
        return;
    };
    let dir = PathBuf::from(std::env::var_os("SCENE").unwrap());
    process::set_subreaper().unwrap();
    match role.to_str().unwrap() {
        "supervisor with a child at its gate" => gated_child(&dir),
        "supervisor of inner" => supervise(&dir, "inner", None),
        "supervisor of inner with innermost" => {
            supervise(&dir, "inner", Some("supervisor of innermost"));
        }
        "supervisor of innermost" => {
            companion();
            supervise(&dir, "innermost", None);
        }
        "supervisor of what it cannot attribute" => orphans(&dir),
        "sweeper without rights" => powerless(&dir),
        unknown => panic!("no role called {unknown}"),
    }
}

fn park() -> ! {
    loop {
        std::thread::park();
    }
}

fn launch(dir: &Path, project: &str, run: u64) -> Launch {
    let nesting = Nesting::here().unwrap();
    let mark = Mark::for_run(project_in(project, dir), RunId(run), nesting);
    launch_in(dir, mark, &[])
}

fn start(launch: &Launch) -> Gated {
    fork_gated(launch).unwrap()
}

fn released(gated: Gated) -> i32 {
    let pid = gated.pid();
    assert!(read_to_end(gated.release()).is_empty());
    pid
}

fn gated_child(dir: &Path) {
    let mut launch = launch(dir, "test", 2);
    launch.command.argv = ["sh", "-c", "echo executed; sleep 1000"]
        .map(str::to_owned)
        .into();
    let gated = start(&launch);
    println!("role: {}", gated.pid());
    park();
}

/// Another process of the run that this one is in; it stays when this one is killed.
#[expect(clippy::zombie_processes, reason = "it is to outlive us")]
fn companion() {
    let mut companion = std::process::Command::new("sleep");
    let companion = companion.arg("1000").spawn().unwrap();
    println!("role: companion {}", companion.id());
}

/// Brings up a project of its own: run 3 is a daemon that leaves everything, run 4 another
/// supervisor.
fn supervise(dir: &Path, project: &str, role: Option<&str>) {
    let mut daemon = launch(dir, project, 3);
    let program = format!(
        "
if daemonize():
    say('role: {project} daemon', os.getpid())
sleep()"
    );
    become_python(&mut daemon, &program);
    released(start(&daemon));
    println!("role: {project} supervisor {}", std::process::id());
    if let Some(role) = role {
        let mut nested = launch(dir, project, 4);
        become_role(&mut nested, role, dir);
        released(start(&nested));
    }
    park();
}

/// An unmarked service leaves an orphan behind; a helper of ours is none.
fn orphans(dir: &Path) {
    let mut service = launch(dir, "test", 2);
    service.command.mark = None;
    // It must not carry our own mark either, or that would find it.
    become_python(
        &mut service,
        "
import resource
resource.setrlimit(10, (0, 0))
if os.fork() == 0:
    os.setsid()
    middle = os.getpid()
    if os.fork() == 0:
        while os.getppid() == middle: time.sleep(0.001)
        open('orphaned', 'w').close()
        sleep()
os._exit(0)",
    );
    make_fifo(&dir.join("orphaned"));
    let leader = released(start(&service));
    await_end(leader);
    process::reap(leader).unwrap();
    let mut helper = launch(dir, "test", 2);
    helper.command.argv = ["sleep", "1000"].map(str::to_owned).into();
    let helper = start(&helper);
    let roots = Roots {
        orphans_of: vec![std::process::id().cast_signed()],
        ..Roots::default()
    };
    // Opens once the other side does.
    std::fs::read(dir.join("orphaned")).unwrap();
    let found = present(&roots).unwrap();
    println!("role: {}", found[0].member.why);
    let outcome = sweep(&roots, &Limits::default()).unwrap();
    println!(
        "role: {} ended, {} left",
        outcome.ended.len(),
        outcome.survivors.len()
    );
    process::reap_orphans().unwrap();
    helper.abort().unwrap();
}

/// Becomes another user than its service runs as, and sweeps.
fn powerless(dir: &Path) {
    let mut service = launch(dir, "test", 2);
    service.command.argv = ["sleep", "1000"].map(str::to_owned).into();
    let service = start(&service);
    let leader = service.identity().clone();
    released(service);
    nix::unistd::setuid(65534.into()).unwrap();
    let roots = Roots {
        owner: Some(Owner::Run(project_in("test", dir), RunId(2))),
        leaders: vec![leader],
        ..Roots::default()
    };
    let outcome = sweep(&roots, &Limits::default()).unwrap();
    assert!(outcome.ended.is_empty());
    for survivor in outcome.survivors {
        println!(
            "role: {} of {}, which {}: {}",
            survivor.command, survivor.user, survivor.why, survivor.reason
        );
    }
}
