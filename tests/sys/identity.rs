use baudbot::sys::identity::{Delivery, Exit, Identity, PidFd};
use baudbot::sys::process;

use crate::scene::{Scene, await_end};

/// Forged identities, each of which names a process that must never be touched.
fn forgeries(of: &Identity) -> [(&'static str, Identity); 3] {
    [
        (
            "another boot",
            Identity {
                boot_id: "00000000-0000-0000-0000-000000000000".into(),
                ..of.clone()
            },
        ),
        (
            "an earlier process with this pid",
            Identity {
                start_time: of.start_time - 1,
                ..of.clone()
            },
        ),
        (
            "a later process with this pid",
            Identity {
                start_time: of.start_time + 1,
                ..of.clone()
            },
        ),
    ]
}

#[test]
fn only_the_very_process_is_opened() {
    let scene = Scene::new();
    let started = scene.start(1, &["sleep", "1000"]);
    for (what, forged) in forgeries(&started.identity) {
        assert!(PidFd::open_verified(&forged).unwrap().is_none(), "{what}");
        assert!(!forged.is_present().unwrap(), "{what}");
    }
    assert!(started.identity.is_present().unwrap());
    assert_eq!(started.kill(), Exit::Signal(9));
}

#[test]
fn a_handle_outlives_its_process_and_hits_nobody_else() {
    let scene = Scene::new();
    let started = scene.start(1, &["sleep", "1000"]);
    let identity = started.identity.clone();
    let handle = PidFd::open_verified(&identity).unwrap().unwrap();
    assert!(!handle.is_over().unwrap());
    assert_eq!(handle.exit(), None);
    started.kill();
    assert!(handle.is_over().unwrap());
    assert_eq!(handle.send(libc::SIGTERM).unwrap(), Delivery::Gone);
    assert!(PidFd::open_verified(&identity).unwrap().is_none());
}

#[test]
fn the_kernel_tells_how_a_reaped_process_ended_where_it_can() {
    let scene = Scene::new();
    let started = scene.start(1, &["sh", "-c", "exit 42"]);
    let handle = PidFd::open(started.pid()).unwrap().unwrap();
    assert_eq!(started.end(), Exit::Code(42));
    if kernel_release() >= (6, 15) {
        assert_eq!(handle.exit(), Some(Exit::Code(42)));
    } else {
        assert_eq!(handle.exit(), None);
    }

    let started = scene.start(2, &["sleep", "1000"]);
    let handle = PidFd::open(started.pid()).unwrap().unwrap();
    started.kill();
    if kernel_release() >= (6, 15) {
        assert_eq!(handle.exit(), Some(Exit::Signal(9)));
    }
}

#[test]
fn a_zombie_is_present_until_it_is_reaped() {
    let scene = Scene::new();
    let started = scene.start(1, &["true"]);
    await_end(started.pid());
    assert!(started.identity.is_present().unwrap());
    assert_eq!(
        process::observe_exit(started.pid()).unwrap(),
        Some(Exit::Code(0))
    );
    assert!(started.identity.is_present().unwrap());
    let identity = started.identity.clone();
    started.end();
    assert!(!identity.is_present().unwrap());
}

/// The name of a process may hold whatever its owner likes, a line that looks like the rest of
/// `stat` too.
#[test]
fn a_name_cannot_forge_the_other_fields() {
    let mut scene = Scene::new();
    let script = r"
import ctypes, os, signal
name = b') Z 1 1 1\n0 0 ('
ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
print('renamed', flush=True)
signal.pause()
";
    let started = scene.start(1, &["python3", "-c", script]);
    assert_eq!(scene.line(), "renamed");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", started.pid())).unwrap();
    assert!(stat.contains(") Z 1"), "the scene is not set: {stat}");
    assert_eq!(
        Identity::of(started.pid()).unwrap().as_ref(),
        Some(&started.identity)
    );
    started.kill();
}

fn kernel_release() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().unwrap().parse().unwrap();
    (next(), next())
}
