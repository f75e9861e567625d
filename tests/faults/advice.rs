//! A help line is a command that works where it is printed: each one that ordinary trouble brings up is
//! executed there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::scene::{Outcome, Scene, finish};

/// Where a command is typed, and how.
struct Place<'a> {
    scene: &'a Scene,
    directory: PathBuf,
    options: &'static str,
}

impl Place<'_> {
    fn shell(&self, line: &str) -> Outcome {
        let mut shell = self.scene.program("sh");
        shell
            .arg("-c")
            .arg(format!("baudbot() {{ \"$PROGRAM\" \"$@\"; }}; {line}"))
            .env("PROGRAM", self.scene.executable())
            .current_dir(&self.directory)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        finish(shell.spawn().unwrap())
    }

    fn run(&self, words: &str) -> Outcome {
        self.shell(&format!("baudbot {} {words}", self.options))
    }

    /// Runs these commands, and then each command that stands in an answer; returns how many did. What
    /// takes the project down comes last, and `prepare` brings back what it needs.
    #[track_caller]
    fn expect_good_advice(&self, questions: &[&str], prepare: &dyn Fn()) -> usize {
        let mut advice: BTreeMap<String, &str> = BTreeMap::new();
        for words in questions {
            let commands = commands(&self.run(words)).into_iter();
            advice.extend(commands.map(|command| (command, *words)));
        }
        let ends_it = |command: &str| command.contains(" down");
        let (last, first): (Vec<_>, Vec<_>) =
            advice.iter().partition(|(command, _)| ends_it(command));
        for (command, words) in first.into_iter().chain(last) {
            let is_placeholder =
                |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
            assert!(
                !command.split([' ', '@']).any(is_placeholder),
                "`{words}` advises `{command}`, which cannot be pasted"
            );
            if ends_it(command) {
                prepare();
            }
            // What goes on until it is interrupted is only begun.
            let ended = self.shell(&command.replace("logs -f", "logs"));
            let told = format!("`{words}` advises `{command}`:\n{ended:#?}");
            assert!(!matches!(ended.code, None | Some(2 | 78)), "{told}");
            assert!(!ended.stderr.contains("run::other_manifest"), "{told}");
            assert!(!ended.stderr.contains("cli::no_manifest"), "{told}");
        }
        advice.len()
    }
}

/// What stands in backticks and is a command of the program.
fn commands(outcome: &Outcome) -> Vec<String> {
    let told = format!("{}{}", outcome.stdout, outcome.stderr);
    let mut commands: Vec<String> = told
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|quoted| quoted.starts_with("baudbot "))
        .map(str::to_owned)
        .collect();
    commands.sort();
    commands.dedup();
    commands
}

const MANIFEST: &str = r"
services:
  good: {command: [sleep, '1000'], depends_on: [made]}
  made: {type: task, command: echo made}
  bad: {command: 'echo broken; exit 3', restart: never}
  lost: {command: [no-such-program]}
  needy: {command: [sleep, '1000'], depends_on: [bad]}
";

/// Every place from which the project can be meant.
fn places(scene: &Scene) -> Vec<Place<'_>> {
    let below = scene.path("below");
    fs::create_dir(&below).unwrap();
    let place = |directory: &Path, options| Place {
        scene,
        directory: directory.to_owned(),
        options,
    };
    vec![
        place(&scene.work(), ""),
        place(&below, "-f ../baudbot.yaml"),
        place(&scene.home(), "-p scene"),
    ]
}

const QUESTIONS: [&str; 13] = [
    "up",
    "status",
    "ps",
    "ps --all",
    "why good",
    "why bad",
    "why lost",
    "why needy",
    "logs nothing",
    "attach bad",
    "start bad",
    "restart lost",
    "exec nothing -- true",
];

#[test]
fn advice_about_a_project_that_is_up_can_be_followed_where_it_is_given() {
    let scene = Scene::new(MANIFEST);
    for place in places(&scene) {
        let up = || {
            place.run("up --no-wait");
        };
        let given = place.expect_good_advice(&QUESTIONS, &up);
        assert!(given > 5, "{given}");
    }
    scene.run(["up", "--no-wait"]);
    scene.end();
}

#[test]
fn advice_about_a_project_that_is_down_can_be_followed_where_it_is_given() {
    let scene = Scene::new(MANIFEST);
    for place in places(&scene) {
        place.run("up --no-wait");
        place.run("down");
        let questions = ["status", "ps", "logs", "upgrade", "attach good", "why bad"];
        place.expect_good_advice(&questions, &|| {});
        place.run("down");
    }
    scene.close();
}

#[test]
fn advice_about_a_project_that_never_ran_can_be_followed_where_it_is_given() {
    let questions = [
        "status", "logs", "logs -f", "events", "up", "down", "ps", "attach x",
    ];
    let scene = Scene::bare();
    let place = Place {
        scene: &scene,
        directory: scene.work(),
        options: "",
    };
    // `baudbot init` is among it.
    place.expect_good_advice(&questions, &|| {});
    place.run("down");
    scene.edit(MANIFEST);
    let down = || {
        place.run("down");
    };
    place.expect_good_advice(&questions, &down);
    down();
    scene.close();
}

#[test]
fn advice_about_a_killed_supervisor_can_be_followed_where_it_is_given() {
    let scene = Scene::new("services: {good: {command: [sleep, '1000']}}");
    for place in places(&scene) {
        let killed = || {
            place.run("up").success();
            scene.kill_supervisor();
        };
        killed();
        place.expect_good_advice(&["status", "ps", "why good"], &killed);
    }
    scene.close();
}

#[test]
fn advice_about_another_checkout_can_be_followed_where_it_is_given() {
    let scene = Scene::new(MANIFEST);
    fs::create_dir(scene.path("two")).unwrap();
    fs::copy(scene.path("baudbot.yaml"), scene.path("two/baudbot.yaml")).unwrap();
    let place = Place {
        scene: &scene,
        directory: scene.path("two"),
        options: "",
    };
    let up = || {
        scene.run(["up", "--no-wait"]);
    };
    up();
    let questions = [
        "up",
        "down",
        "status",
        "why bad",
        "why needy",
        "logs nothing",
    ];
    assert!(place.expect_good_advice(&questions, &up) > 1);
    up();
    fs::remove_file(scene.path("two/baudbot.yaml")).unwrap();
    assert!(place.expect_good_advice(&["start nothing"], &up) > 0);
    up();
    fs::remove_file(scene.path("baudbot.yaml")).unwrap();
    assert!(place.expect_good_advice(&["down"], &|| {}) > 0);
    scene.close();
}
