use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use baudbot::sys::identity::{Exit, Identity, PidFd};
use baudbot::sys::mark;
use baudbot::sys::process::{self, fork_gated};
use baudbot::sys::start_error::{Stage, parse_report};

use crate::scene::{PATIENCE, Scene, await_end, await_readable, make_fifo, read_to_end};

#[test]
fn nothing_is_executed_before_the_gate_opens() {
    let mut scene = Scene::new();
    let gated = fork_gated(&scene.launch(1, &["sh", "-c", "echo $$"])).unwrap();
    let identity = gated.identity().clone();
    assert_eq!(Identity::of(gated.pid()).unwrap().as_ref(), Some(&identity));
    assert_eq!(process::observe_exit(identity.pid).unwrap(), None);
    let report = read_to_end(gated.release());
    parse_report(&report).unwrap();
    assert_eq!(scene.line(), identity.pid.to_string());
    await_end(identity.pid);
    assert_eq!(process::reap(identity.pid).unwrap(), Some(Exit::Code(0)));
}

#[test]
fn a_closed_gate_ends_the_child_without_a_trace() {
    let scene = Scene::new();
    let proof = scene.path("executed");
    let gated = fork_gated(&scene.launch(1, &["touch", proof.to_str().unwrap()])).unwrap();
    let identity = gated.identity().clone();
    gated.abort().unwrap();
    assert!(!identity.is_present().unwrap());
    assert!(!proof.exists());
}

/// Two children that are at their gates at once inherit each other's pipes; neither may keep the
/// other's gate from closing.
#[test]
fn gates_do_not_hold_each_other_open() {
    let scene = Scene::new();
    let first = fork_gated(&scene.launch(1, &["sleep", "1000"])).unwrap();
    let second = fork_gated(&scene.launch(2, &["sleep", "1000"])).unwrap();
    let third = fork_gated(&scene.launch(3, &["sleep", "1000"])).unwrap();
    first.abort().unwrap();
    third.abort().unwrap();
    second.abort().unwrap();
}

/// The supervisor of this test is a process of its own, and is killed while its child waits.
#[test]
fn a_child_whose_supervisor_dies_at_the_gate_exits() {
    let mut scene = Scene::new();
    let supervisor = scene.start_role("supervisor with a child at its gate");
    let child: i32 = scene.role_line().parse().unwrap();
    let handle = PidFd::open(child).unwrap().unwrap();
    assert!(!handle.is_over().unwrap());
    supervisor.kill();
    await_readable(handle.as_fd(), Instant::now() + PATIENCE);
    assert!(handle.is_over().unwrap());
}

#[test]
fn the_child_leads_its_own_session_and_carries_its_mark() {
    let mut scene = Scene::new();
    let script = "read -r pid name state parent pgid sid rest </proc/$$/stat
        echo $pid $pgid $sid
        exec sleep 1000";
    let started = scene.start(7, &["sh", "-c", script]);
    let pid = started.pid();
    assert_eq!(scene.line(), format!("{pid} {pid} {pid}"));
    let carried = mark::read_mark(pid).unwrap().unwrap();
    assert!(carried.is_run(scene.project, started.run));
    started.kill();
}

#[test]
fn the_child_gets_its_environment_and_nothing_else() {
    let mut scene = Scene::new();
    let mut launch = scene.launch(1, &["env"]);
    launch
        .command
        .environment
        .insert("ODD".into(), "a=b c\td".into());
    let started = scene.start_launch(1, &launch).unwrap();
    let mut lines = [scene.line(), scene.line()];
    lines.sort();
    assert_eq!(lines, ["ODD=a=b c\td", "PATH=/usr/bin:/bin"]);
    assert_eq!(started.end(), Exit::Code(0));
}

#[test]
fn the_child_has_three_descriptors_and_no_more() {
    let mut scene = Scene::new();
    // One that does not close on exec, as a careless library leaves it.
    let leaked = nix::unistd::dup(std::io::stdin()).unwrap();
    assert!(leaked.as_raw_fd() > 2);
    let script = r#"
import os
fds = {}
for fd in os.listdir('/proc/self/fd'):
    try:
        fds[int(fd)] = os.readlink(f'/proc/self/fd/{fd}')
    except FileNotFoundError:
        pass  # The one through which the directory was read.
print(*(f'{fd}:{target}' for fd, target in sorted(fds.items())))
"#;
    let started = scene.start(1, &["python3", "-c", script]);
    let out = scene.path("out");
    let out = out.display();
    assert_eq!(scene.line(), format!("0:/dev/null 1:{out} 2:{out}"));
    assert_eq!(started.end(), Exit::Code(0));
    drop(leaked);
}

#[test]
fn the_child_has_default_signals_all_unblocked() {
    let mut scene = Scene::new();
    let started = scene.start(1, &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    for name in ["SigBlk", "SigIgn"] {
        assert_eq!(scene.line(), format!("{name}:\t0000000000000000"));
    }
    assert_eq!(started.end(), Exit::Code(0));
}

#[test]
fn umask_directory_and_limit_are_set() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("sub")).unwrap();
    let mut launch = scene.launch(1, &["sh", "-c", "pwd; umask; ulimit -Sn; ulimit -Hn"]);
    launch.command.working_dir = scene.path("sub");
    launch.command.umask = Some(0o027);
    launch.command.open_files_limit = Some((123, 456));
    let started = scene.start_launch(1, &launch).unwrap();
    let sub = scene.path("sub");
    for expected in [sub.to_str().unwrap(), "0027", "123", "456"] {
        assert_eq!(scene.line(), expected);
    }
    assert_eq!(started.end(), Exit::Code(0));
}

/// What the service writes while nobody reads waits in the FIFO.
#[test]
fn output_outlives_its_reader() {
    let mut scene = Scene::new();
    let go = scene.path("go");
    let done = scene.path("done");
    make_fifo(&go);
    make_fifo(&done);
    // Opened for both, so that the two lines below can be written while nobody reads.
    let script = format!(
        "exec 3<>{}; echo one; read x <&3; echo two; : >{}; read x <&3",
        go.display(),
        done.display()
    );
    let started = scene.start(1, &["bash", "-c", &script]);
    assert_eq!(scene.line(), "one");
    scene.close_output();
    fs::write(&go, "\n").unwrap();
    // Opens once the other side does: the line has been written by then.
    fs::read(&done).unwrap();
    scene.open_output();
    assert_eq!(scene.line(), "two");
    fs::write(&go, "\n").unwrap();
    assert_eq!(started.end(), Exit::Code(0));
}

#[test]
fn each_failed_stage_is_named() {
    let scene = Scene::new();
    let dir = scene.dir.path().to_owned();

    let failed = |change: &dyn Fn(&mut process::Launch)| {
        let mut launch = scene.launch(1, &["true"]);
        change(&mut launch);
        let error = scene.start_launch(1, &launch).map(|s| s.pid()).unwrap_err();
        (error.to_string(), error.is_blocked(), error.stage)
    };

    let (text, is_blocked, _) = failed(&|l| l.command.argv = vec!["no-such-program".into()]);
    assert_eq!(
        text,
        "finding the executable `no-such-program`: not in any directory of PATH"
    );
    assert!(is_blocked);

    let (text, is_blocked, _) = failed(&|l| l.command.argv = vec!["./absent".into()]);
    assert_eq!(
        text,
        "finding the executable `./absent`: no such file or directory"
    );
    assert!(is_blocked);

    fs::write(dir.join("plain"), "#!/bin/sh\n").unwrap();
    let (text, is_blocked, _) = failed(&|l| l.command.argv = vec!["./plain".into()]);
    assert_eq!(text, "finding the executable `./plain`: permission denied");
    assert!(is_blocked);

    let (text, is_blocked, stage) = failed(&|l| l.command.working_dir = "/no/such/dir".into());
    assert_eq!(
        text,
        "changing directory to /no/such/dir: no such file or directory"
    );
    assert!(is_blocked);
    assert_eq!(stage, Stage::WorkingDir("/no/such/dir".into()));

    let (text, is_blocked, _) = failed(&|l| l.stderr = "/no/such/log".into());
    assert_eq!(
        text,
        "opening the log /no/such/log: no such file or directory"
    );
    assert!(!is_blocked);

    script(&dir.join("orphaned"), "#!/no/such/interpreter\n");
    let (text, is_blocked, _) = failed(&|l| l.command.argv = vec!["./orphaned".into()]);
    assert_eq!(
        text,
        format!(
            "executing {}/./orphaned: the interpreter that its first line names does not exist",
            dir.display()
        )
    );
    assert!(is_blocked);

    script(&dir.join("no-program"), "just text\n");
    let (text, is_blocked, _) = failed(&|l| l.command.argv = vec!["./no-program".into()]);
    assert!(text.ends_with("neither a program for this machine nor a script with a `#!` line"));
    assert!(is_blocked);

    let (text, is_blocked, _) = failed(&|l| l.command.argv = vec!["true".into(), "a\0b".into()]);
    assert!(text.contains("nul byte"), "{text}");
    assert!(is_blocked);
}

fn script(path: &std::path::Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn orphans_are_reaped_and_leaders_are_not() {
    let mut scene = Scene::new();
    // The leader leaves a child behind, which ends when it is told to.
    let go = scene.path("go");
    make_fifo(&go);
    let line = format!("sh -c 'echo $$; read x <{}' &", go.display());
    let leader = scene.start(1, &["sh", "-c", &line]);
    let orphan: i32 = scene.line().parse().unwrap();
    await_end(leader.pid());
    let handle = PidFd::open(orphan).unwrap().unwrap();
    fs::write(&go, "\n").unwrap();
    await_readable(handle.as_fd(), Instant::now() + PATIENCE);
    // Whoever runs beside us in this process may have reaped it first.
    process::reap_orphans().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{orphan}")).exists());
    assert_eq!(
        process::observe_exit(leader.pid()).unwrap(),
        Some(Exit::Code(0))
    );
    assert_eq!(leader.end(), Exit::Code(0));
}

#[test]
fn what_is_not_our_child_cannot_be_observed() {
    assert_eq!(
        process::observe_exit(1).unwrap_err().raw_os_error(),
        Some(libc::ECHILD)
    );
    assert!(process::reap(-1).is_err());
}
