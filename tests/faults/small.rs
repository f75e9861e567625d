//! Small promises: what is away for a moment, how a command ends, and words that help.

use std::fs;
use std::io::Read;
use std::sync::{Arc, Mutex};

use crate::scene::{Scene, kill, wait_until};

/// What a child writes, as it comes.
fn collected(mut stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let all = Arc::new(Mutex::new(String::new()));
    let shared = Arc::clone(&all);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
            shared.lock().unwrap().push_str(&text);
        }
    });
    all
}

#[test]
fn a_watched_manifest_may_be_away_for_a_while() {
    let scene = Scene::bare();
    // The one above is not meant while the watched one is away.
    scene.edit("services: {above: {command: [sleep, '1000']}}");
    let directory = scene.path("below");
    fs::create_dir(&directory).unwrap();
    let manifest = directory.join("baudbot.yaml");
    let write = |name: &str| {
        let services = format!("services: {{{name}: {{command: [sleep, '1000']}}}}");
        fs::write(&manifest, format!("version: 1\nproject: scene\n{services}")).unwrap();
    };
    write("a");
    let mut command = scene.command(["up", "--watch"]);
    let mut child = command.current_dir(&directory).spawn().unwrap();
    let told = collected(child.stderr.take().unwrap());
    let has_told = |text: &str| told.lock().unwrap().contains(text);
    wait_until("it watches", || has_told("watching"));
    fs::rename(&manifest, directory.join("away")).unwrap();
    wait_until("it says that the file is away", || {
        has_told("is not there: what runs goes on")
    });
    let state = |name: &str| {
        let status = scene.run(["-p", "scene", "status", "--json"]).json();
        status["services"][name]["state"].clone()
    };
    assert_eq!(state("a"), "ready");
    write("b");
    wait_until("the edit is applied", || state("b") == "ready");
    assert!(!has_told("above"), "{}", told.lock().unwrap());
    kill(i32::try_from(child.id()).unwrap(), 2);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    scene.run(["-p", "scene", "down"]).success();
    scene.close();
}

#[test]
fn a_watch_of_the_status_that_is_ended_by_a_signal_says_by_which() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    scene.run(["up"]).success();
    for (signal, code) in [(2, 130), (15, 143)] {
        let mut child = scene.command(["status", "--watch"]).spawn().unwrap();
        let told = collected(child.stdout.take().unwrap());
        wait_until("it shows something", || !told.lock().unwrap().is_empty());
        kill(i32::try_from(child.id()).unwrap(), signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
    scene.end();
}

#[test]
fn a_template_that_is_started_like_a_service_is_explained() {
    let scene = Scene::new(
        "services: {a: {command: [sleep, '1000']}}\n\
         groups: {tools: {}}\ntemplates: {tool: {command: [sleep, '1000']}}",
    );
    for words in [["start", "tool"], ["plan", "tool"]] {
        let told = scene.run(words).code(2).stderr;
        assert!(told.contains("`tool` is a template"), "{told}");
        assert!(told.contains("`baudbot start tool@one`"), "{told}");
    }
    scene.run(["start", "tool@one"]).success();
    scene.end();
}

#[test]
fn a_manifest_in_the_place_of_a_name_is_explained() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    scene.run(["up"]).success();
    for words in [
        &["logs", "-f", "baudbot.yaml"][..],
        &["logs", "-f", "./baudbot.yaml"],
        &["up", "baudbot.yaml"],
    ] {
        let told = scene.run(words).code(2).stderr;
        let file = words.last().unwrap();
        assert!(
            told.contains(&format!("is named by `--file {file}`")),
            "{told}"
        );
    }
    scene.end();
}

/// What a shell is offered for the last of these words.
fn completed(scene: &Scene, words: &[&str]) -> Vec<String> {
    let mut command = scene.command(["--", "baudbot"]);
    command.args(words).env("BAUDBOT_COMPLETE", "fish");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let offered = text.lines().filter_map(|line| line.split('\t').next());
    offered.map(str::to_owned).collect()
}

#[test]
fn orders_of_a_plan_and_projects_are_completed() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    let offered = completed(&scene, &["plan", ""]);
    for word in ["up", "down", "restart", "a"] {
        assert!(offered.iter().any(|one| one == word), "{offered:?}");
    }
    let second = completed(&scene, &["plan", "up", ""]);
    assert!(second.iter().any(|one| one == "a"), "{second:?}");
    assert!(second.iter().all(|one| one != "down"), "{second:?}");
    assert_eq!(completed(&scene, &["plan", "d"]), ["down"]);

    scene.run(["up"]).success();
    let project = scene.status()["project"].as_str().unwrap().to_owned();
    for words in [&["-p", ""][..], &["status", "-p", ""]] {
        assert_eq!(completed(&scene, words), [project.as_str()], "{words:?}");
    }
    scene.end();
}

#[test]
fn a_directory_for_a_new_manifest_is_made() {
    let scene = Scene::new("services: {a: {command: [sleep, '1000']}}");
    scene.run(["init", "new/web"]).success();
    let file = scene.path("new/web/baudbot.yaml");
    scene
        .run(["validate", "--file", file.to_str().unwrap()])
        .success();
    scene.end();
}
