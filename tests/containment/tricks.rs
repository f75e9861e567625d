//! Every trick by itself: with a normal stop, and with the supervisor killed in between; as whoever
//! runs the tests, and as an ordinary user.
//!
//! What the self-test does is not used to judge: the registers are read here, and the leak check of
//! the scene comes on top.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use baudbot::selftest::{Alive, BEAT, Phase, Trick, manifest, members, text};
use baudbot::sys::identity::Identity;

use crate::scene::{PROJECT, Scene, wait_until};

/// The usual number of `nobody`.
const ORDINARY_USER: u32 = 65534;

fn play(name: &str) {
    std::thread::scope(|scope| {
        scope.spawn(|| play_as(name, None));
        // Whoever is an ordinary user already has been there.
        if nix::unistd::geteuid().is_root() {
            scope.spawn(|| play_as(name, Some(ORDINARY_USER)));
        }
    });
}

fn play_as(name: &str, user: Option<u32>) {
    let mut scene = Scene::bare();
    if let Some(user) = user {
        scene.become_user(user);
    }
    for phase in [Phase::Stop, Phase::Kill] {
        let act = Act::up(&scene, name, phase);
        if phase == Phase::Kill {
            scene.kill_supervisor();
        }
        scene.run(["down"]).success();
        act.expect_dead();
        if name == "slow" {
            assert!(
                act.dir.join("bye").exists(),
                "it was killed before its grace was over"
            );
        }
        scene.expect_nothing_left();
    }
    scene.end();
}

/// A trick that is being played.
struct Act {
    dir: PathBuf,
    is_skipped: bool,
}

impl Act {
    #[track_caller]
    fn up(scene: &Scene, name: &str, phase: Phase) -> Self {
        let trick = Trick::named(name).unwrap();
        let all: Vec<&Trick> = trick
            .needs
            .iter()
            .map(|needed| Trick::named(needed).unwrap())
            .chain([trick])
            .collect();
        let stage = scene.path(phase.word());
        scene.make_directory(&stage);
        for trick in &all {
            scene.make_directory(&stage.join(trick.name));
        }
        let mut manifest = manifest(scene.executable(), &stage, phase, all);
        manifest["project"] = PROJECT.into();
        if name == "slow" {
            // It shall have its grace, however busy the machine is.
            manifest["services"]["slow"]["stop"]["timeout"] = "50s".into();
        }
        fs::write(scene.path("baudbot.yaml"), manifest.to_string()).unwrap();
        // The leaver is gone when it is looked at, which is no success.
        let up = scene.run(["up"]);
        let dir = stage.join(name);
        let is_skipped = dir.join("skipped").exists();
        assert!(
            up.code == Some(0) || trick.alive == Alive::Born(3),
            "{}{}{:?}",
            up.stdout,
            up.stderr,
            text(&dir.join("failed"))
        );
        if !is_skipped {
            expect_played(trick, &dir);
        }
        Self { dir, is_skipped }
    }

    #[track_caller]
    fn expect_dead(&self) {
        let all = members(&self.dir).unwrap();
        assert!(self.is_skipped || !all.is_empty());
        let alive: Vec<&Identity> = all.iter().filter(|one| one.is_alive()).collect();
        assert!(alive.is_empty(), "{alive:?}");
        if let Some(port) = text(&self.dir.join("port")).unwrap() {
            TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
        }
        if let Some(heart) = text(&self.dir.join("heart")).unwrap() {
            // There is no marker for what must not happen any more: ten beats of time.
            std::thread::sleep(BEAT * 10);
            assert_eq!(text(&self.dir.join("heart")).unwrap().unwrap(), heart);
        }
    }
}

#[track_caller]
fn expect_played(trick: &Trick, dir: &Path) {
    wait_until("the trick is played", || dir.join("ready").exists());
    let all = members(dir).unwrap();
    let alive = all.iter().filter(|one| one.is_alive()).count();
    match trick.alive {
        Alive::Members(count) => assert!(alive >= count, "{alive} of {count}"),
        Alive::Born(count) => assert!(all.len() >= count, "{} of {count}", all.len()),
        Alive::Heart => {
            let heart = text(&dir.join("heart")).unwrap();
            wait_until("a beat", || text(&dir.join("heart")).unwrap() != heart);
        }
    }
}

/// Whether there is a test for each trick.
#[test]
fn each_trick_has_its_test() {
    let source = include_str!("tricks.rs");
    for trick in &baudbot::selftest::TRICKS {
        let call = format!("play(\"{}\")", trick.name);
        assert!(source.contains(&call), "no test calls {call}");
    }
}

#[test]
fn a_child_in_the_group() {
    play("child");
}

#[test]
fn a_child_in_a_session_of_its_own() {
    play("session");
}

#[test]
fn a_child_that_is_made_the_supervisor_s_own() {
    play("sibling");
}

#[test]
fn a_job_control_shell() {
    play("groups");
}

#[test]
fn a_child_that_joins_another_service_s_group() {
    play("joiner");
}

#[test]
fn a_daemon_that_holds_a_port() {
    play("daemon");
}

#[test]
fn a_daemon_with_an_empty_environment() {
    play("bare");
}

#[test]
fn a_daemon_with_all_descriptors_closed() {
    play("closed");
}

#[test]
fn a_daemon_that_calls_itself_a_kernel_thread() {
    play("renamed");
}

#[test]
fn a_daemon_that_lowers_its_mark_a_little() {
    play("lowered");
}

#[test]
fn a_daemon_that_becomes_another_user() {
    play("user");
}

#[test]
fn all_signals_ignored() {
    play("deaf");
}

#[test]
fn a_stopped_child() {
    play("stopped");
}

#[test]
fn a_slow_leader_with_fast_children_gets_its_grace() {
    play("slow");
}

#[test]
fn a_fork_on_term() {
    play("on-term");
}

#[test]
fn a_leaver() {
    play("leaver");
}

#[test]
fn a_hopper() {
    play("hopper");
}

#[test]
fn a_thousand_members() {
    play("thousand");
}

#[test]
fn a_tmux_server_of_its_own() {
    play("tmux");
}

#[test]
fn namespaces_of_its_own() {
    play("namespaces");
}

#[test]
fn another_project_inside() {
    play("nested");
}
