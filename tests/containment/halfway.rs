//! What a sweeper left that was killed half-way: some stand still, and nobody is there to kill them.

use std::fs;

use baudbot::selftest::{Phase, TRICK_COMMAND, Trick, manifest, members};
use baudbot::sys::identity::Identity;

use crate::scene::{PROJECT, Scene, kill, wait_until};

fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    state == Some('T')
}

/// A scene with a service whose daemon has left it.
fn scene() -> (Scene, Vec<Identity>) {
    let scene = Scene::bare();
    let dir = scene.path("daemon");
    fs::create_dir(&dir).unwrap();
    let service = serde_json::json!({
        "command": [scene.executable(), TRICK_COMMAND, "as-daemon", dir, "stop"],
        // A grace that nobody waits for.
        "stop": {"timeout": "1h"},
    });
    let manifest = serde_json::json!({
        "version": 1, "project": PROJECT, "services": {"a": service},
    });
    fs::write(scene.path("baudbot.yaml"), manifest.to_string()).unwrap();
    scene.run(["up"]).success();
    wait_until("both", || members(&dir).unwrap().len() == 2);
    let both = members(&dir).unwrap();
    (scene, both)
}

/// As a sweeper leaves them that is killed between freezing and killing.
fn freeze_and_kill_supervisor(scene: &Scene, all: &[Identity]) {
    for one in all {
        kill(one.pid, libc::SIGSTOP);
        wait_until("it stands still", || is_stopped(one.pid));
    }
    scene.kill_supervisor();
}

#[test]
fn down_ends_who_stands_still_and_waits_for_no_grace() {
    let (scene, both) = scene();
    freeze_and_kill_supervisor(&scene, &both);
    scene.run(["down"]).success();
    assert!(!both.iter().any(Identity::is_alive));
    scene.end();
}

#[test]
fn up_leaves_nobody_standing_still() {
    let (scene, both) = scene();
    freeze_and_kill_supervisor(&scene, &both);
    scene.run(["up"]).success();
    scene.expect_state("a", "ready");
    for one in &both {
        // Taken over and continued, or ended and followed by another.
        assert!(!one.is_alive() || !is_stopped(one.pid));
    }
    scene.end();
}

/// The real thing: a sweep of a thousand takes long enough to be met in the middle.
#[test]
fn a_sweeper_that_dies_half_way_leaves_nothing_to_the_next() {
    let scene = Scene::bare();
    let stage = scene.path("stage");
    let dir = stage.join("thousand");
    fs::create_dir_all(&dir).unwrap();
    let trick = Trick::named("thousand").unwrap();
    let mut manifest = manifest(scene.executable(), &stage, Phase::Stop, [trick]);
    manifest["project"] = PROJECT.into();
    fs::write(scene.path("baudbot.yaml"), manifest.to_string()).unwrap();
    scene.run(["up"]).success();
    let all = members(&dir).unwrap();
    let status = scene.status();
    let pid = |key: &str| i32::try_from(status["supervisor"][key].as_i64().unwrap()).unwrap();
    let (guardian, supervisor) = (pid("guardian_pid"), pid("pid"));
    let down = scene.command(["down", "--now"]).spawn().unwrap();
    // The last is frozen last; whoever is frozen first stands still for long.
    wait_until("somebody stands still, or all are gone", || {
        all.iter().any(|one| is_stopped(one.pid)) || !all.iter().any(Identity::is_alive)
    });
    kill(guardian, libc::SIGSTOP);
    kill(supervisor, libc::SIGKILL);
    kill(guardian, libc::SIGKILL);
    // It may tell that the supervisor left, or have got what it wanted.
    crate::scene::finish(down);
    scene.run(["down"]).success();
    assert!(!all.iter().any(Identity::is_alive));
    scene.end();
}
