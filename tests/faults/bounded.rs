//! Every command ends in a bounded time, with an exit code of the table, whatever the supervisor or the
//! host does.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use super::scene::{Outcome, Scene, finish, kill};

const ONE: &str = "services: { a: { command: [sleep, '1000'] } }";

/// Runs `baudbot ARGUMENTS` with this limit of open files.
fn with_open_files(scene: &Scene, limit: u64, arguments: &[&str]) -> Outcome {
    let mut command = scene.command(arguments);
    let set = move || {
        let resource = nix::sys::resource::Resource::RLIMIT_NOFILE;
        nix::sys::resource::setrlimit(resource, limit, limit).map_err(Into::into)
    };
    // SAFETY: between fork and exec this makes one system call.
    unsafe { command.pre_exec(set) };
    finish(command.spawn().unwrap())
}

fn many(count: usize) -> String {
    let services = (0..count).map(|number| {
        format!("  s{number}: {{command: [sleep, '1000'], stop: {{timeout: 2s}}}}\n")
    });
    format!("services:\n{}", services.collect::<String>())
}

#[test]
fn a_stopped_supervisor_does_not_hold_up_an_order_beyond_its_timeout() {
    let scene = Scene::new(ONE);
    scene.run(["up"]).success();
    let supervisor = scene.supervisor();
    kill(supervisor, 19);
    for order in [
        "up",
        "start a",
        "restart a",
        "stop a",
        "down",
        "down --now",
        "status --wait",
    ] {
        let begun = Instant::now();
        let words = order.split(' ').chain(["--timeout", "300ms"]);
        let outcome = scene.run(words).code(4);
        assert!(begun.elapsed() < Duration::from_secs(20), "{order}");
        let help = format!("kill -CONT {supervisor}");
        assert!(
            outcome.stderr.contains(&help),
            "{order}: {}",
            outcome.stderr
        );
    }
    kill(supervisor, 18);
    scene.end();
}

#[test]
fn the_help_about_a_stopped_supervisor_is_true() {
    let scene = Scene::new(ONE);
    scene.run(["up"]).success();
    let (supervisor, leader) = (scene.supervisor(), scene.pid("a"));
    kill(supervisor, 19);
    let outcome = scene.run(["down", "--timeout", "300ms"]).code(4);
    let help = outcome
        .stderr
        .lines()
        .find(|line| line.starts_with("help: "));
    let advised = help
        .unwrap()
        .split('`')
        .find(|word| word.starts_with("kill -9 "));
    let done = Command::new("sh").args(["-c", advised.unwrap()]).status();
    assert!(done.unwrap().success());
    scene.run(["status", "--wait"]).success();
    assert_eq!(scene.pid("a"), leader, "services go on");
    scene.end();
}

#[test]
fn no_timeout_is_too_long() {
    let scene = Scene::new(ONE);
    let longest = "365d";
    for order in [
        &["up"][..],
        &["restart", "a"],
        &["status", "--wait"],
        &["down"],
    ] {
        scene
            .run(order.iter().chain(&["--timeout", longest]))
            .success();
    }
    // What cannot be waited for is refused before anything is done.
    for too_long in ["18446744073709551615s", "366d"] {
        scene.run(["up", "--timeout", too_long]).code(2);
    }
    scene.close();
}

#[test]
fn few_open_files_are_an_error_and_no_panic() {
    let scene = Scene::new(ONE);
    for limit in [5, 6, 7, 8, 9, 10, 12, 15, 20, 30] {
        for command in ["up", "status", "down"] {
            let outcome = with_open_files(&scene, limit, &[command]);
            let is_in_table = matches!(outcome.code, Some(0 | 1 | 3 | 5));
            assert!(is_in_table, "{limit} {command}: {outcome:?}");
        }
        let outcome = with_open_files(&scene, limit, &["up"]).code(1);
        assert!(
            outcome.stderr.contains("limit of open files"),
            "{limit}: {outcome:?}"
        );
    }
    // They were made before a supervisor could refuse.
    let _ = std::fs::remove_dir_all(scene.runtime_dir());
    scene.close();
}

#[test]
fn what_was_started_with_few_open_files_can_be_stopped() {
    for (count, limit) in [(12, 80), (60, 200)] {
        let scene = Scene::new(&many(count));
        let up = with_open_files(&scene, limit, &["up"]).code(5);
        let message = format!("the limit of open files, {limit}, is too low for {count} services");
        assert!(up.stderr.contains(&message), "{}", up.stderr);
        let services = scene.status()["services"].clone();
        let mut states = services
            .as_object()
            .unwrap()
            .values()
            .map(|one| &one["state"]);
        assert!(states.clone().any(|state| state == "ready"), "{services}");
        assert!(
            states.all(|state| state == "ready" || state == "blocked"),
            "{services}"
        );
        let down = with_open_files(&scene, limit, &["down"]).success();
        assert!(!down.stderr.contains("KILL"), "{}", down.stderr);
        scene.close();
    }
}

#[test]
fn a_signal_ends_a_project_with_few_open_files() {
    let scene = Scene::new(&many(12));
    with_open_files(&scene, 80, &["up"]).code(5);
    kill(scene.supervisor(), 15);
    scene
        .run(["status", "--wait=stopped", "--timeout", "30s"])
        .success();
    scene.close();
}

#[test]
fn too_long_a_runtime_directory_is_told_as_that_by_every_command() {
    let mut scene = Scene::new(ONE);
    let long = scene.root().join("q".repeat(90));
    scene.make_directory(&long);
    scene.set("XDG_RUNTIME_DIR", &long.display().to_string());
    for command in [
        "up",
        "down",
        "status",
        "plan",
        "why a",
        "restart a",
        "stop a",
        "attach a",
    ] {
        let outcome = scene.run(command.split(' ')).code(1);
        let is_told = outcome.stderr.contains("store::socket_path_too_long");
        assert!(is_told, "{command}: {}", outcome.stderr);
    }
    scene.close();
}

/// Standard error is read only when the supervisor is no more.
#[test]
fn a_slow_reader_does_not_miss_the_end() {
    let scene = Scene::new(&many(60));
    scene.run(["up"]).success();
    let supervisor = scene.supervisor();
    let mut child = scene.command(["down"]).spawn().unwrap();
    // As small as a pipe can be: what is said does not fit.
    let pipe = child.stderr.as_ref().unwrap();
    nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    super::scene::wait_until("the supervisor has left", || {
        !super::scene::is_alive(supervisor)
    });
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(0), "{said}");
    assert!(outcome.stdout.contains("no process of the project is left"));
    scene.close();
}

/// The client is stopped while the end is told, and goes on when the supervisor is no more.
#[test]
fn a_client_that_was_stopped_does_not_miss_the_end() {
    let scene = Scene::new(
        "services: { a: { command: \"trap 'while [ ! -e go ]; do sleep 0.05; done; exit' TERM; echo hi; while :; do sleep 0.05; done\", ready: { log: hi } } }",
    );
    scene.run(["up"]).success();
    let supervisor = scene.supervisor();
    let child = scene.command(["down"]).spawn().unwrap();
    super::scene::wait_until("it is being stopped", || {
        scene.service("a")["state"] == "stopping"
    });
    kill(child.id().cast_signed(), 19);
    std::fs::write(scene.path("go"), "").unwrap();
    super::scene::wait_until("the supervisor has left", || {
        !super::scene::is_alive(supervisor)
    });
    kill(child.id().cast_signed(), 18);
    let outcome = finish(child).success();
    assert!(outcome.stdout.contains("no process of the project is left"));
    scene.close();
}
