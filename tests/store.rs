//! Files that cannot be written: clear words, and nothing that runs is harmed.

mod scene;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use scene::{Scene, is_alive, wait_until};

/// A service that ends well on TERM.
const STEADY: &str =
    r#"[sh, -c, "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done"]"#;

fn steady() -> Scene {
    Scene::new(&format!("services: {{a: {{command: {STEADY}}}}}"))
}

/// A small file system where the state goes; `None`, with a word, where we may not make one.
struct Small(PathBuf);

impl Small {
    fn mount(scene: &Scene, options: &str) -> Option<Self> {
        let path = scene.root().join("state");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "baudbot-test"]);
        if mount
            .arg(&path)
            .status()
            .is_ok_and(|status| status.success())
        {
            return Some(Self(path));
        }
        eprintln!("skipped: only who may mount can make a file system without room");
        None
    }

    /// Leaves no room.
    fn fill(&self) {
        let _ = fs::write(self.0.join("fill"), vec![0; 1 << 20]);
        // What is left of the last page takes no other file.
        for number in 0..64 {
            if fs::write(self.0.join(format!("fill.{number}")), "x").is_err() {
                return;
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// `up` is refused with these words before anything starts.
#[track_caller]
fn expect_refusal(scene: &Scene, what: &str, help: &str) {
    let refused = scene.run(["up"]).code(1);
    assert!(refused.stderr.contains(what), "{}", refused.stderr);
    assert!(refused.stderr.contains(help), "{}", refused.stderr);
    assert!(scene.processes().is_empty());
}

#[test]
fn without_room_nothing_starts_and_the_file_is_named() {
    let scene = steady();
    let Some(small) = Small::mount(&scene, "size=64k,mode=700") else {
        return scene.end();
    };
    small.fill();
    expect_refusal(
        &scene,
        "No space left on device",
        "make room on that file system",
    );
    drop(small);
    scene.run(["up"]).success();
    scene.end();
}

#[test]
fn what_runs_is_taken_over_and_stopped_without_room_too() {
    let scene = steady();
    let Some(small) = Small::mount(&scene, "size=128k,mode=700") else {
        return scene.end();
    };
    scene.run(["up"]).success();
    let service = scene.pid("a");
    small.fill();
    scene.expect_state("a", "ready");
    scene.kill_supervisor();
    assert!(is_alive(service));
    // The order itself needs room for the manifest, which the last page of the ledger may still have;
    // to take over what runs does not.
    let up = scene.run(["up"]);
    let is_told = up.stderr.contains("No space left on device");
    assert!(up.code == Some(0) || is_told, "{up:?}");
    assert_eq!(scene.pid("a"), service);
    scene.run(["down"]).success();
    assert!(!is_alive(service));
    scene.expect_nothing_left();
    drop(small);
    scene.end();
}

#[test]
fn a_file_system_that_is_read_only_is_told() {
    let scene = steady();
    let Some(small) = Small::mount(&scene, "ro,mode=700") else {
        return scene.end();
    };
    expect_refusal(
        &scene,
        "Read-only file system",
        "choose another place with XDG_STATE_HOME",
    );
    drop(small);
    scene.end();
}

#[test]
fn a_state_directory_that_is_none_of_ours_is_refused() {
    let scene = steady();
    let state = scene.state_dir();
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    fs::write(&state, "").unwrap();
    expect_refusal(&scene, "is not a directory", "out of the way");
    fs::remove_file(&state).unwrap();
    if nix::unistd::geteuid().is_root() {
        fs::create_dir_all(&state).unwrap();
        std::os::unix::fs::chown(&state, Some(65534), None).unwrap();
        expect_refusal(
            &scene,
            "belongs to nobody, who could answer in the project's place",
            "choose a directory of yours",
        );
        fs::remove_dir(&state).unwrap();
    } else {
        let states = state.parent().unwrap();
        fs::set_permissions(states, fs::Permissions::from_mode(0o500)).unwrap();
        expect_refusal(&scene, "Permission denied", "writable for you");
        fs::set_permissions(states, fs::Permissions::from_mode(0o700)).unwrap();
    }
    scene.run(["up"]).success();
    scene.end();
}

#[test]
fn a_state_directory_that_was_removed_is_made_anew_and_the_next_supervisor_knows_all() {
    let scene = steady();
    scene.run(["up"]).success();
    let service = scene.pid("a");
    fs::remove_dir_all(scene.state_dir()).unwrap();
    assert_eq!(scene.pid("a"), service);
    // Whatever is written down next brings the rest back with it.
    scene.run(["up"]).success();
    let ledger = scene.state_dir().join("ledger.jsonl");
    let tells = |file: &Path| fs::read_to_string(file).is_ok_and(|text| text.contains("started"));
    wait_until("the ledger tells of the service again", || tells(&ledger));
    scene.kill_supervisor();
    scene.run(["up"]).success();
    assert_eq!(scene.pid("a"), service);
    scene.end();
}
