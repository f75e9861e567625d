//! What the README says is true: its tour is run as it stands there, its tables are the program's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "cli_scene/mod.rs"]
mod scene;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use scene::{Outcome, Scene};

const README: &str = include_str!("../README.md");

/// One step of the tour.
enum Step {
    /// A command to type.
    Type(String),
    /// Lines for the end of `baudbot.yaml`.
    Append(String),
}

/// The blocks that are marked as belonging to the tour, in their order.
fn tour() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line
            .strip_prefix("```")
            .and_then(|kind| kind.strip_suffix(" tour"))
        else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "console" => steps.extend(
                block
                    .iter()
                    .filter_map(|line| line.strip_prefix("$ "))
                    .map(|line| Step::Type(line.to_owned())),
            ),
            "yaml" => steps.push(Step::Append(block.join("\n") + "\n")),
            other => panic!("the tour has a block of kind {other}"),
        }
    }
    steps
}

#[test]
fn the_tour_works_as_it_stands_there() {
    let scene = Scene::empty();
    let directory = Path::new(env!("CARGO_BIN_EXE_baudbot")).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    let mut outcomes = Vec::new();
    for step in tour() {
        match step {
            Step::Type(line) => {
                let mut shell = scene.program("sh");
                shell.args(["-c", &line]).env("PATH", &path);
                outcomes.push((line, Outcome::of(&mut shell).exits(0)));
            }
            Step::Append(lines) => {
                let file = scene.work().join("baudbot.yaml");
                let mut file = OpenOptions::new().append(true).open(file).unwrap();
                file.write_all(lines.as_bytes()).unwrap();
            }
        }
    }
    let outcome = |line: &str| {
        let found = outcomes.iter().find(|(typed, _)| typed == line);
        &found
            .unwrap_or_else(|| panic!("the tour has no `{line}`"))
            .1
    };
    assert!(outcome("baudbot status").out.contains("hello    ready"));
    let plan = &outcome("baudbot plan").out;
    assert!(plan.contains("1 to start, 2 to keep"), "{plan}");
    // It has just begun to tell the time, so there may be fewer than were asked for.
    let lines = outcome("baudbot logs -n 3 clock").out.lines().count();
    assert!((1..=3).contains(&lines), "{lines}");
    let down = &outcomes.last().unwrap().1;
    assert!(down.out.contains("verified:"), "{down:?}");
    assert_eq!(scene.processes(), []);
}

/// The first cells of the rows of the table with this heading.
fn column(heading: &str) -> Vec<&'static str> {
    README
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {heading} |")))
        .skip(2)
        .map_while(|line| line.strip_prefix("| "))
        .filter_map(|line| line.split(" | ").next())
        .collect()
}

#[test]
fn the_table_of_commands_is_that_of_the_help() {
    let scene = Scene::empty();
    let help = scene.run(&["-h"]).exits(0).out;
    let mut commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    commands.sort_unstable();
    let mut documented: Vec<&str> = column("command")
        .iter()
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|command| command.split_whitespace().next())
        .collect();
    documented.sort_unstable();
    assert_eq!(documented, commands);
}

#[test]
fn the_table_of_exit_codes_is_the_programs() {
    let numbers: Vec<u8> = column("exit code")
        .iter()
        .map(|cell| cell.parse().unwrap())
        .collect();
    let codes = baudbot::exit::ExitCode::ALL.map(baudbot::exit::ExitCode::number);
    assert_eq!(numbers, codes);
}
