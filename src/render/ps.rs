//! The table of `ps`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::failure::help;
use super::table::{Cell, Table};
use super::{BAD, FAINT, GOOD, Look, STRONG};
use crate::id::ProjectName;

/// One project. Fields may be added to the JSON form, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectLine {
    /// Its name.
    pub project: ProjectName,
    /// What is true of it.
    pub state: ProjectState,
    /// The supervisor; of a project that was left behind: the one that was.
    pub supervisor_pid: Option<i32>,
    /// How many services are as they should be, of those that should be up.
    pub up: Option<usize>,
    /// How many should be up.
    pub total: Option<usize>,
    /// How many are skipped besides: their `when` does not hold.
    pub skipped: Option<usize>,
    /// The manifest that it was last brought up from.
    pub manifest: Option<PathBuf>,
    /// Whether that file is not there any more.
    pub manifest_is_gone: bool,
    /// Where its logs and its ledger are.
    pub state_dir: PathBuf,
}

/// What is true of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectState {
    /// A supervisor runs, and all that should be up is.
    Up,
    /// A supervisor runs, and something is not as it should be.
    Degraded,
    /// A supervisor runs and does not answer.
    Silent,
    /// Its supervisor was killed and may have left something running.
    LeftBehind,
    /// Nothing runs.
    Down,
}

impl ProjectState {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Silent => "silent",
            Self::LeftBehind => "left behind",
            Self::Down => "down",
        }
    }
}

fn manifest(file: &Path, is_gone: bool) -> String {
    let gone = if is_gone { " (gone)" } else { "" };
    format!("{}{gone}", file.display())
}

/// A row for each project, then what to type about those that need somebody.
pub fn projects(projects: &[ProjectLine], look: &Look) -> String {
    let mut table = Table::new(&["PROJECT", "STATE", "UP", "SUPERVISOR", "MANIFEST"]);
    let or_dash = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
    for one in projects {
        let style = match one.state {
            ProjectState::Up => GOOD,
            ProjectState::Degraded | ProjectState::Silent | ProjectState::LeftBehind => BAD,
            ProjectState::Down => FAINT,
        };
        table.row([
            Cell::styled(one.project.as_str(), STRONG),
            Cell::styled(one.state.word(), style),
            or_dash(ups(one)),
            or_dash(one.supervisor_pid.map(|pid| pid.to_string())),
            or_dash(
                one.manifest
                    .as_ref()
                    .map(|file| manifest(file, one.manifest_is_gone)),
            ),
        ]);
    }
    let words: String = projects
        .iter()
        .filter_map(what_to_do)
        .map(|text| help(&text, look))
        .collect();
    table.text(look, "") + &words
}

/// `7/8 (1 skipped)`: as in the other totals, what is skipped is one of them.
fn ups(one: &ProjectLine) -> Option<String> {
    let (up, total) = one.up.zip(one.total)?;
    Some(match one.skipped.unwrap_or(0) {
        0 => format!("{up}/{total}"),
        skipped => format!("{up}/{} ({skipped} skipped)", total + skipped),
    })
}

fn what_to_do(one: &ProjectLine) -> Option<String> {
    let name = &one.project;
    match one.state {
        ProjectState::LeftBehind => Some(format!(
            "the supervisor of `{name}` was killed; `baudbot -p {name} down` ends what it left"
        )),
        ProjectState::Degraded => Some(format!(
            "see what is the matter with `baudbot -p {name} status`"
        )),
        ProjectState::Silent => {
            let pid = one.supervisor_pid.unwrap_or_default();
            Some(format!(
                "the supervisor of `{name}` does not answer: see whether process {pid} is stopped or starved"
            ))
        }
        ProjectState::Up | ProjectState::Down => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_project_has_a_row_and_those_in_need_a_word() {
        let line = |name: &str, state, supervisor_pid, up: Option<usize>| ProjectLine {
            project: ProjectName::new(name).unwrap(),
            state,
            supervisor_pid,
            up,
            total: up.map(|_| 3),
            skipped: None,
            manifest: up.map(|_| "/srv/shop/baudbot.yaml".into()),
            manifest_is_gone: name == "lab",
            state_dir: "/home/me/.local/state/baudbot/x".into(),
        };
        let all = [
            line("shop", ProjectState::Up, Some(42), Some(3)),
            line("lab", ProjectState::Degraded, Some(43), Some(1)),
            line("hung", ProjectState::Silent, Some(44), None),
            line("old", ProjectState::LeftBehind, Some(7), None),
            line("idle", ProjectState::Down, None, None),
        ];
        insta::assert_snapshot!(projects(&all, &Look::PLAIN), @r"
        PROJECT  STATE        UP   SUPERVISOR  MANIFEST
        shop     up           3/3  42          /srv/shop/baudbot.yaml
        lab      degraded     1/3  43          /srv/shop/baudbot.yaml (gone)
        hung     silent       -    44          -
        old      left behind  -    7           -
        idle     down         -    -           -
        help: see what is the matter with `baudbot -p lab status`
        help: the supervisor of `hung` does not answer: see whether process 44 is stopped or starved
        help: the supervisor of `old` was killed; `baudbot -p old down` ends what it left
        ");
    }
}
