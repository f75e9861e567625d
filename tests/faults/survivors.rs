//! What KILL cannot end is named within seconds, whatever was ordered.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::scene::{Scene, finish, kill, wait_for_file, wait_until};

/// An ordinary user.
const USER: u32 = 65534;

/// As long as anything that cannot be killed may hold up a command.
const BOUND: Duration = Duration::from_secs(30);

/// A scene of an ordinary user, with a service `a` that has a child of root's, whose pid it writes
/// into `child`. Only root can set it.
fn scene_with_foreign_child() -> Option<Scene> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: nothing is tried");
        return None;
    }
    let mut scene = Scene::new(
        r#"
services:
  a:
    command: "./become-root --reuid=0 --clear-groups sleep 1000 & echo $! > child; exec sleep 1000"
    stop: { timeout: 200ms }
    ready: { file: child }
  b: { command: [sleep, "1000"] }
"#,
    );
    let program = scene.path("become-root");
    let path = std::env::var("PATH").unwrap();
    let setpriv = std::env::split_paths(&path).map(|directory| directory.join("setpriv"));
    fs::copy(
        setpriv.into_iter().find(|path| path.exists()).unwrap(),
        &program,
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    scene.become_user(USER);
    scene.run(["up"]).success();
    wait_until("the child belongs to root", || {
        let status = fs::read_to_string(format!("/proc/{}/status", child_of(&scene)));
        status.is_ok_and(|text| text.contains("Uid:\t0\t0\t0\t0"))
    });
    Some(scene)
}

fn child_of(scene: &Scene) -> i32 {
    wait_for_file(&scene.path("child")).trim().parse().unwrap()
}

#[test]
fn every_order_ends_and_names_what_it_could_not_end() {
    let Some(scene) = scene_with_foreign_child() else {
        return;
    };
    let child = child_of(&scene);
    for (order, code) in [
        (&["restart", "a"][..], 5),
        (&["up"], 5),
        (&["status", "--wait"], 1),
        (&["stop", "a"], 1),
        (&["down"], 1),
        (&["down", "--now"], 1),
        (&["status", "--wait=stopped"], 1),
    ] {
        let begun = Instant::now();
        let outcome = scene.run(order).code(code);
        assert!(
            begun.elapsed() < BOUND,
            "{order:?} took {:?}",
            begun.elapsed()
        );
        let said = outcome.stdout + &outcome.stderr;
        let is_status = order[0] == "status";
        assert!(
            is_status || said.contains(&child.to_string()),
            "{order:?}: {said}"
        );
        assert!(
            is_status || said.contains("sleep 1000"),
            "{order:?}: {said}"
        );
        assert!(
            !said.contains("no process of `a` is left"),
            "{order:?}: {said}"
        );
        assert!(
            !said.contains("no process of the project is left"),
            "{order:?}: {said}"
        );
    }
    kill(child, 9);
    wait_until("the supervisor has left", || !scene.runtime_dir().exists());
    scene.close();
}

#[test]
fn a_supervisor_in_the_foreground_ends_with_what_it_could_not_end() {
    let Some(scene) = scene_with_foreign_child() else {
        return;
    };
    let first = child_of(&scene);
    kill(first, 9);
    scene.run(["down"]).success();
    fs::remove_file(scene.path("child")).unwrap();
    let unit = scene.command(["up", "--foreground"]).spawn().unwrap();
    let child = child_of(&scene);
    scene.run(["status", "--wait"]).success();
    kill(unit.id().cast_signed(), 15);
    let outcome = finish(unit).code(1);
    assert!(outcome.stdout.contains(&child.to_string()), "{outcome:?}");
    assert!(
        !outcome.stdout.contains("no process of the project"),
        "{outcome:?}"
    );
    kill(child, 9);
    scene.end();
}
