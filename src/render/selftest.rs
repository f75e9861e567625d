//! What the self-test came to.

use super::table::{Cell, Table};
use super::{BAD, FAINT, GOOD, Look, STRONG, human};
use crate::layers::{Holding, Layer, Layers};
use crate::selftest::report::{Left, Outcome, Report, Stop, TrickReport};

/// Before anything can be seen of it.
pub fn begun(look: &Look) -> String {
    let text = "playing every trick twice, once with the supervisor killed; nothing of it stays";
    format!("{}\n", look.paint(FAINT, text))
}

/// When somebody wanted it to end.
pub fn interrupted(look: &Look) -> String {
    format!(
        "{} nothing of the self-test is left\n",
        look.paint(STRONG, "interrupted:")
    )
}

/// The whole report.
pub fn report(report: &Report, look: &Look) -> String {
    let mut text = tricks(&report.tricks, look);
    for (column, stop) in [(NORMAL, &report.normal), (AFTER_KILL, &report.after_kill)] {
        text += &whole(column, stop, look);
    }
    text.push('\n');
    text += &layers(&report.layers, look);
    text.push('\n');
    text += &verdict(report, look);
    text
}

const NORMAL: &str = "NORMAL STOP";
const AFTER_KILL: &str = "AFTER KILL -9";

fn tricks(tricks: &[TrickReport], look: &Look) -> String {
    let mut table = Table::new(&["TRICK", NORMAL, AFTER_KILL, "WHAT IT DOES"]);
    for trick in tricks {
        table.row([
            Cell::styled(trick.name.as_str(), STRONG),
            cell(&trick.normal),
            cell(&trick.after_kill),
            trick.does.as_str().into(),
        ]);
    }
    let mut text = table.text(look, "");
    for trick in tricks {
        // What is the same in both columns is said once.
        let mut said = Vec::new();
        for (column, outcome) in [(NORMAL, &trick.normal), (AFTER_KILL, &trick.after_kill)] {
            let Some(remark) = remark(outcome) else {
                continue;
            };
            if !said.contains(&remark) {
                let bad = outcome
                    .is_bad()
                    .then(|| format!(" ({})", column.to_lowercase()));
                text += &format!(
                    "  {}{}: {remark}\n",
                    look.paint(STRONG, &trick.name),
                    bad.unwrap_or_default()
                );
                said.push(remark);
            }
        }
    }
    text
}

fn cell(outcome: &Outcome) -> Cell {
    match outcome {
        Outcome::Contained { .. } => Cell::styled("contained", GOOD),
        Outcome::Survived { left } => Cell::styled(format!("{} SURVIVED", left.len()), BAD),
        Outcome::Skipped { .. } => Cell::styled("skipped", FAINT),
        Outcome::Unplayed { .. } => Cell::styled("NOT PLAYED", BAD),
    }
}

fn remark(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Contained { note } => note.clone(),
        Outcome::Survived { left } => Some(left.iter().map(one).collect::<Vec<_>>().join("; ")),
        Outcome::Skipped { why } => Some(format!("skipped: {why}")),
        Outcome::Unplayed { why } => Some(why.clone()),
    }
}

fn one(left: &Left) -> String {
    match left.pid {
        Some(pid) => format!("process {pid} ({})", left.what),
        None => left.what.clone(),
    }
}

/// What a stop as a whole came to, when it did not go well.
fn whole(column: &str, stop: &Stop, look: &Look) -> String {
    let mut text = String::new();
    let mut line = |what: String| {
        text += &format!(
            "{} {what}\n",
            look.paint(BAD, &format!("{}:", column.to_lowercase()))
        );
    };
    if stop.down_exit != Some(0) {
        let code = stop
            .down_exit
            .map_or("a signal".to_owned(), |code| format!("exit code {code}"));
        line(format!("`down` ended with {code}: {}", stop.down_said));
    }
    for left in &stop.left {
        line(format!("left, and no trick's: {}", one(left)));
    }
    text
}

fn layers(layers: &Layers, look: &Look) -> String {
    let mut table = Table::new(&["LAYER", "HERE", "WHAT IT DOES"]);
    for layer in Layer::ALL {
        let (here, what) = match layers.of(layer) {
            Holding::Held => (Cell::styled("held", GOOD), layer.purpose().to_owned()),
            Holding::Missing { why } => (
                Cell::styled("missing", BAD),
                format!("{why}; so {}", layer.without()),
            ),
            Holding::Unused => (Cell::styled("unused", FAINT), layer.purpose().to_owned()),
        };
        table.row([Cell::styled(layer.name(), STRONG), here, what.into()]);
    }
    table.text(look, "")
}

fn verdict(report: &Report, look: &Look) -> String {
    let outcomes = || {
        let both = report.tricks.iter();
        both.flat_map(|trick| [&trick.normal, &trick.after_kill])
    };
    let skipped = outcomes().filter(|one| matches!(one, Outcome::Skipped { .. }));
    let skipped = match skipped.count() {
        0 => String::new(),
        count => format!(", {count} skipped"),
    };
    let seconds = report.seconds.as_secs_f64();
    let tricks = human::count(report.tricks.len(), "trick");
    let (style, word, what) = if report.contained {
        (GOOD, "contained:", "nothing escaped")
    } else if outcomes().any(|one| matches!(one, Outcome::Survived { .. })) {
        (BAD, "not contained:", "something escaped")
    } else {
        (BAD, "not proven:", "see above")
    };
    format!(
        "{} {what}; {tricks}, twice{skipped}, in {seconds:.1} s\n",
        look.paint(style, word)
    )
}
