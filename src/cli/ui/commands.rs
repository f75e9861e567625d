//! The commands that keys stand for: this same program, called as a person would call it.

use std::process::{Output, Stdio};

use tokio::process::Command;
use tokio::sync::mpsc;

use super::Call;
use crate::exit::ExitCode;
use crate::ui::{Event, Outcome};

/// Runs a command beside the screen and tells what it came to.
pub(super) fn run(call: &Call, words: Vec<String>, shows_page: bool, sender: mpsc::Sender<Event>) {
    let mut command = command(call, &words);
    command.stdin(Stdio::null());
    tokio::spawn(async move {
        let ended = match command.output().await {
            Ok(output) => ended(&words, &output, shows_page),
            Err(error) => not_executed(&words, &error),
        };
        let _ = sender.send(ended).await;
    });
}

/// Gives a command the terminal; what it has to complain of comes back.
pub(super) async fn in_foreground(call: &Call, words: &[String]) -> Event {
    let mut command = command(call, words);
    let child = command.stderr(Stdio::piped()).spawn();
    let output = match child {
        Ok(child) => child.wait_with_output().await,
        Err(error) => Err(error),
    };
    match output {
        Ok(output) => ended(words, &output, false),
        Err(error) => not_executed(words, &error),
    }
}

fn command(call: &Call, words: &[String]) -> Command {
    // The path of a program that was replaced by a newer one meanwhile does not exist.
    let program = std::env::current_exe().unwrap_or_else(|_| "baudbot".into());
    let mut command = Command::new(program);
    command.args(["--color", "never"]);
    if let Some(file) = &call.options.file {
        command.arg("--file").arg(file);
    }
    if let Some(project) = &call.options.project {
        command.arg("--project").arg(project.as_str());
    }
    command.args(words);
    command
}

fn ended(words: &[String], output: &Output, shows_page: bool) -> Event {
    let told = String::from_utf8_lossy(&output.stderr);
    let data = String::from_utf8_lossy(&output.stdout);
    let is_bad = !output.status.success();
    let command = words.join(" ");
    let last = |text: &str| -> Option<String> {
        let error = text.lines().find(|line| line.starts_with("error"));
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        error.or(last).map(str::to_owned)
    };
    let gist = last(&told).or_else(|| last(&data)).unwrap_or_else(|| {
        if is_bad {
            output.status.to_string()
        } else {
            "done".into()
        }
    });
    // A manifest with mistakes needs more than a line.
    let is_manifest = output.status.code() == Some(ExitCode::Manifest.number().into());
    let page = (is_manifest || shows_page && !data.is_empty() || shows_page && is_bad).then(|| {
        data.lines()
            .chain(told.lines())
            .map(|line| line.replace('\t', "    "))
            .collect()
    });
    let text = match page {
        Some(_) => String::new(),
        None => format!("{command}: {gist}"),
    };
    Event::Ended {
        command,
        outcome: Outcome { text, is_bad },
        page,
    }
}

fn not_executed(words: &[String], error: &std::io::Error) -> Event {
    let command = words.join(" ");
    Event::Ended {
        outcome: Outcome {
            text: format!("{command}: cannot execute baudbot: {error}"),
            is_bad: true,
        },
        command,
        page: None,
    }
}
