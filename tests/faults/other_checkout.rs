//! Two checkouts whose projects have one name: a command acts only on what the manifest that it found
//! declares, and says so where it shows what another one declares.

use std::fs;
use std::path::Path;

use crate::scene::{Outcome, Scene, finish, is_alive};

const SERVICE: &str = "services: {a: {command: [sleep, '1000']}}";

/// A second checkout of the scene's project in the directory `name`.
fn checkout(scene: &Scene, name: &str, manifest: &str) {
    fs::create_dir_all(scene.path(name)).unwrap();
    let text = format!("version: 1\nproject: scene\n{manifest}");
    fs::write(scene.path(name).join("baudbot.yaml"), text).unwrap();
}

/// Runs `baudbot WORDS` in a directory of the scene.
#[track_caller]
fn run_in(scene: &Scene, directory: &str, words: &str) -> Outcome {
    let mut command = scene.command(words.split(' '));
    finish(command.current_dir(scene.path(directory)).spawn().unwrap())
}

#[track_caller]
fn expect_refused(scene: &Scene, directory: &str, words: &str) {
    let refused = run_in(scene, directory, words).code(5);
    let told = &refused.stderr;
    assert!(
        told.contains("error[run::other_manifest]"),
        "{words}: {told}"
    );
    assert!(told.contains("`baudbot -p scene down`"), "{words}: {told}");
    let running = scene.path("baudbot.yaml").display().to_string();
    assert!(told.contains(&running), "{words}: {told}");
}

const CHANGING: [&str; 14] = [
    "up",
    "start a",
    "restart",
    "restart a",
    "stop a",
    "down",
    "down a",
    "down --now",
    "down --plan",
    "plan down",
    "exec a -- true",
    "attach a",
    "tmux -- list-sessions",
    "supervisor restart",
];

#[test]
fn another_checkout_is_refused_whatever_would_change_something() {
    let scene = Scene::new(SERVICE);
    checkout(&scene, "two", SERVICE);
    checkout(&scene, "other", "services: {b: {command: [sleep, '1000']}}");
    scene.run(["up"]).success();
    let a = scene.pid("a");
    for words in CHANGING {
        expect_refused(&scene, "two", words);
    }
    expect_refused(&scene, "other", "down b");
    expect_refused(&scene, "other", "plan");
    expect_refused(&scene, ".", "down -f two/baudbot.yaml");
    assert_eq!(scene.pid("a"), a);
    // The way out that the help names.
    run_in(&scene, "two", "-p scene restart a").success();
    assert!(!is_alive(a));
    run_in(&scene, "two", "-p scene down").success();
    run_in(&scene, "two", "up").success();
    run_in(&scene, "two", "down").success();
    scene.close();
}

#[test]
fn another_checkout_is_refused_too_while_no_supervisor_lives() {
    let scene = Scene::new(SERVICE);
    checkout(&scene, "two", SERVICE);
    scene.run(["up"]).success();
    let a = scene.pid("a");
    scene.kill_supervisor();
    for words in ["up", "down", "stop a", "down --plan"] {
        expect_refused(&scene, "two", words);
    }
    assert!(is_alive(a));
    let status = run_in(&scene, "two", "status").code(1);
    assert!(
        status.stderr.contains("note: project `scene` runs from"),
        "{status:?}"
    );
    let projects = scene.run(["ps", "--json"]).success().json();
    let manifest = &projects["projects"][0]["manifest"];
    assert_eq!(*manifest, scene.path("baudbot.yaml").display().to_string());
    scene.end();
}

#[test]
fn commands_that_only_look_say_which_manifest_is_up() {
    let scene = Scene::new(SERVICE);
    checkout(&scene, "two", "services: {b: {command: [sleep, '1000']}}");
    scene.run(["up"]).success();
    for words in [
        "status",
        "status --json",
        "why a",
        "logs -n 1",
        "events",
        "graph",
        "doctor",
    ] {
        let looked = run_in(&scene, "two", words);
        let notes = looked
            .stderr
            .lines()
            .filter(|line| line.starts_with("note: project `scene` runs from"));
        assert_eq!(notes.count(), 1, "{words}: {}", looked.stderr);
        let own = run_in(&scene, ".", words);
        assert!(!own.stderr.contains("runs from"), "{words}: {}", own.stderr);
    }
    // What is shown is what runs, and not a mixture of the two.
    let services = run_in(&scene, "two", "status --json").json()["services"].clone();
    let names: Vec<&String> = services.as_object().unwrap().keys().collect();
    assert_eq!(names, ["a"]);
    scene.end();
}

#[test]
fn the_same_file_by_another_way_is_the_same_manifest() {
    let scene = Scene::new("services: {}");
    checkout(&scene, "one", SERVICE);
    std::os::unix::fs::symlink(scene.path("one"), scene.path("link")).unwrap();
    run_in(&scene, "one", "up").success();
    let status = run_in(&scene, "link", "status").success();
    assert_eq!(status.stderr, "");
    run_in(&scene, ".", "down -f one/../link/baudbot.yaml").success();
    scene.close();
}

#[test]
fn a_checkout_that_was_moved_goes_on_and_says_so() {
    let scene = Scene::new("services: {}");
    checkout(&scene, "one", SERVICE);
    run_in(&scene, "one", "up").success();
    fs::rename(scene.path("one"), scene.path("moved")).unwrap();
    let projects = scene.run(["ps"]).success();
    assert!(
        projects.stdout.contains("one/baudbot.yaml (gone)"),
        "{projects:?}"
    );
    let up = run_in(&scene, "moved", "up").success();
    assert!(
        up.stderr.contains("moved/baudbot.yaml takes its place"),
        "{up:?}"
    );
    let again = run_in(&scene, "moved", "up").success();
    assert!(!again.stderr.contains("takes its place"), "{again:?}");
    fs::rename(scene.path("moved"), scene.path("one")).unwrap();
    let down = run_in(&scene, "one", "down").success();
    assert!(
        down.stderr.contains("one/baudbot.yaml takes its place"),
        "{down:?}"
    );
    scene.close();
}

#[test]
fn a_manifest_that_was_deleted_is_no_reason_to_write_another_one() {
    let scene = Scene::new(SERVICE);
    scene.run(["up"]).success();
    fs::remove_file(scene.path("baudbot.yaml")).unwrap();
    fs::create_dir(scene.path("below")).unwrap();
    for (directory, words) in [(".", "down"), (".", "up"), ("below", "status")] {
        let told = run_in(&scene, directory, words).code(78).stderr;
        assert!(told.contains("`baudbot -p scene down`"), "{told}");
        assert!(!told.contains("init"), "{told}");
    }
    run_in(&scene, ".", "-p scene down").success();
    scene.close();
}

#[test]
fn a_project_that_was_renamed_while_up_is_told_of() {
    let scene = Scene::new(SERVICE);
    scene.run(["up"]).success();
    let renamed = format!("version: 1\nproject: renamed\n{SERVICE}");
    fs::write(scene.path("baudbot.yaml"), renamed).unwrap();
    for words in [&["up"][..], &["status"], &["down"]] {
        let told = scene.run(words).success().stderr;
        assert!(
            told.contains("project `scene` still runs from this manifest"),
            "{told}"
        );
    }
    scene.run(["-p", "scene", "down"]).success();
    let told = scene.run(["status"]).code(3).stderr;
    assert_eq!(told, "");
    scene.close();
}

/// As in two worktrees of one repository.
#[test]
fn long_names_that_begin_alike_are_two_projects() {
    let scene = Scene::bare();
    let long = "checkout-of-the-payment-service-for-the-branch-with-a-long-name-";
    let name = |end: &str| format!("{long}{end}");
    for end in ["one", "two"] {
        fs::create_dir(scene.path(&name(end))).unwrap();
        let manifest = scene.path(&name(end)).join("baudbot.yaml");
        fs::write(manifest, format!("version: 1\n{SERVICE}")).unwrap();
        run_in(&scene, &name(end), "up").success();
    }
    let projects = scene.run(["ps", "--json"]).success().json();
    assert_eq!(projects["projects"].as_array().unwrap().len(), 2);
    run_in(&scene, &name("two"), "down").success();
    run_in(&scene, &name("one"), "status").success();
    run_in(&scene, &name("one"), "down").success();
    scene.close();
}

/// A version that cut names has brought it up.
#[test]
fn a_project_that_runs_under_its_cut_name_is_found_until_it_is_down() {
    let scene = Scene::bare();
    let long = "checkout-of-the-payment-service-for-the-branch-with-a-long-name-";
    let directory = format!("{long}one");
    fs::create_dir(scene.path(&directory)).unwrap();
    let manifest = scene.path(&directory).join("baudbot.yaml");
    let write = |text: &str| fs::write(&manifest, text).unwrap();
    write(&format!("version: 1\nproject: {long}\n{SERVICE}"));
    run_in(&scene, &directory, "up").success();
    write(&format!("version: 1\n{SERVICE}"));
    let project = |words: &str| run_in(&scene, &directory, words).json()["project"].clone();
    assert_eq!(project("status --json"), *long);
    let up = run_in(&scene, &directory, "up").success();
    assert!(up.stderr.contains("nothing to do"), "{up:?}");
    run_in(&scene, &directory, "down").success();
    assert_ne!(project("status --json"), *long);
    scene.close();
}

#[test]
fn what_a_repository_keeps_for_hosts_starts_only_when_it_is_named() {
    let scene = Scene::bare();
    checkout(&scene, "manifests", SERVICE);
    fs::create_dir(scene.path("src")).unwrap();
    for (directory, file) in [
        (".", "manifests/baudbot.yaml"),
        ("src", "manifests/baudbot.yaml"),
    ] {
        let told = run_in(&scene, directory, "up").code(78).stderr;
        assert!(told.contains("must be named: `baudbot -f "), "{told}");
        assert!(told.contains(file), "{told}");
    }
    run_in(&scene, "src", "-f ../manifests/baudbot.yaml up").success();
    let told = run_in(&scene, "src", "down").code(78).stderr;
    assert!(told.contains("`baudbot -p scene down`"), "{told}");
    assert!(Path::new(&scene.state_dir()).exists());
    run_in(&scene, "src", "down -f ../manifests/baudbot.yaml").success();
    scene.close();
}
