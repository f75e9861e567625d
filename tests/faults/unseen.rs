//! What cannot be looked at does not count as empty.

use std::fs::{Permissions, create_dir, remove_dir_all, rename, set_permissions, write};
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::scene::Scene;

const SERVICE: &str = "version: 1\nservices: {a: {command: [sleep, '1000']}}\n";

/// A scene in which `a` runs, declared in `parts/one/a.yaml`.
fn included(pattern: &str) -> Scene {
    let scene = Scene::new(&format!("include: ['{pattern}']\n"));
    create_dir(scene.path("parts")).unwrap();
    create_dir(scene.path("parts/one")).unwrap();
    write(scene.path("parts/one/a.yaml"), SERVICE).unwrap();
    scene
}

/// `up` is refused with the place and the reason, and stops nothing.
#[track_caller]
fn expect_refusal(scene: &Scene, place: &str, reason: &str) {
    let pid = scene.pid("a");
    for command in ["validate", "up"] {
        let refused = scene.run([command]).code(78);
        let said = format!("{}{}", refused.stdout, refused.stderr).replace('\n', " ");
        for part in ["manifest::unreadable", place, reason] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert_eq!(scene.pid("a"), pid);
}

#[test]
fn an_include_directory_without_the_right_to_list_it_is_an_error() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut scene = included("parts/*/*.yaml");
    for path in ["parts", "parts/one", "parts/one/a.yaml"] {
        std::os::unix::fs::chown(scene.path(path), Some(65534), Some(65534)).unwrap();
    }
    scene.become_user(65534);
    scene.run(["up"]).success();
    for place in ["parts", "parts/one"] {
        set_permissions(scene.path(place), Permissions::from_mode(0o300)).unwrap();
        expect_refusal(&scene, place, "Permission denied");
        set_permissions(scene.path(place), Permissions::from_mode(0o700)).unwrap();
    }
    scene.end();
}

#[test]
fn a_file_or_a_link_to_nothing_in_the_place_of_an_include_directory_is_an_error() {
    let scene = included("parts/one/*.yaml");
    scene.run(["up"]).success();
    rename(scene.path("parts/one"), scene.path("away")).unwrap();
    write(scene.path("parts/one"), "").unwrap();
    expect_refusal(&scene, "parts/one", "not a directory");
    std::fs::remove_file(scene.path("parts/one")).unwrap();
    symlink("nowhere", scene.path("parts/one")).unwrap();
    expect_refusal(&scene, "parts/one", "a link to nothing");
    scene.end();
}

#[test]
fn a_link_to_nothing_at_a_middle_level_is_an_error_and_a_file_there_is_passed_over() {
    let scene = included("parts/*/*.yaml");
    write(scene.path("parts/README"), "").unwrap();
    scene.run(["up"]).success();
    rename(scene.path("parts/one"), scene.path("away")).unwrap();
    symlink("../nowhere", scene.path("parts/one")).unwrap();
    expect_refusal(&scene, "parts/one", "a link to nothing");
    // A directory that is gone takes its services with it, as a removed package does.
    std::fs::remove_file(scene.path("parts/one")).unwrap();
    remove_dir_all(scene.path("away")).unwrap();
    scene.run(["validate"]).success();
    scene.end();
}
