//! What `down --plan` lists: everything that `down` would end, each with the reason why it is ours.

use serde::Serialize;

use super::table::{Cell, Table};
use super::{FAINT, Look, STRONG, human};
use crate::id::ProjectName;

/// What `down` would end, as `down --plan --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// The version of this shape: 1.
    pub version: u32,
    /// The project.
    pub project: ProjectName,
    /// Everything that would be ended.
    pub targets: Vec<Target>,
}

/// One thing that would be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The service or `@group` that it belongs to; `null` for what belongs to the project itself or
    /// to nobody that is known any more.
    pub owner: Option<String>,
    /// Whether nothing on disk tells of it.
    pub is_leftover: bool,
    /// `process` or `session`.
    pub kind: &'static str,
    /// The process id of a process.
    pub pid: Option<i32>,
    /// The user that it runs as.
    pub user: Option<String>,
    /// Its command line.
    pub command: Option<String>,
    /// The name of a tmux session.
    pub session: Option<String>,
    /// Why it is ours.
    pub why: String,
}

/// The table, and what it comes to.
pub fn ending(ending: &Ending, look: &Look) -> String {
    let mut table = Table::new(&["OF", "PID", "USER", "WHY IT IS OURS", "WHAT"]);
    for target in &ending.targets {
        let owner = match (&target.owner, target.is_leftover) {
            (Some(owner), _) => Cell::styled(owner.as_str(), STRONG),
            (None, true) => Cell::styled("leftover", FAINT),
            (None, false) => Cell::styled("the project", FAINT),
        };
        let what = match &target.session {
            Some(session) => format!("tmux session {session}"),
            None => target.command.clone().unwrap_or_default(),
        };
        table.row([
            owner,
            target
                .pid
                .map_or_else(Cell::none, |pid| pid.to_string().into()),
            target.user.as_deref().map_or_else(Cell::none, Cell::from),
            target.why.as_str().into(),
            what.into(),
        ]);
    }
    let processes = ending
        .targets
        .iter()
        .filter(|one| one.pid.is_some())
        .count();
    let sessions = ending.targets.len() - processes;
    let mut counted = vec![human::count(processes, "process")];
    if sessions > 0 {
        counted.push(human::count(sessions, "tmux session"));
    }
    let sum = format!(
        "`down` would end {}; nothing was touched",
        counted.join(" and ")
    );
    format!("{}{}\n", table.text(look, ""), look.paint(FAINT, &sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(owner: Option<&str>, pid: i32, why: &str) -> Target {
        Target {
            owner: owner.map(str::to_owned),
            is_leftover: false,
            kind: "process",
            pid: Some(pid),
            user: Some("agent".into()),
            command: Some("node bridge.mjs".into()),
            session: None,
            why: why.into(),
        }
    }

    #[test]
    fn everything_is_listed_with_the_reason_why_it_is_ours() {
        let session = Target {
            kind: "session",
            pid: None,
            user: None,
            command: None,
            session: Some("baudbot-bridge".into()),
            ..process(Some("bridge"), 0, "has the declared name")
        };
        let leftover = Target {
            is_leftover: true,
            ..process(None, 99, "carries the mark of the project")
        };
        let found = Ending {
            version: 1,
            project: ProjectName::new("shop").unwrap(),
            targets: vec![
                process(Some("bridge"), 812, "is the process that was started"),
                session,
                leftover,
            ],
        };
        insta::assert_snapshot!(ending(&found, &Look::PLAIN), @r"
        OF        PID  USER   WHY IT IS OURS                   WHAT
        bridge    812  agent  is the process that was started  node bridge.mjs
        bridge    -    -      has the declared name            tmux session baudbot-bridge
        leftover  99   agent  carries the mark of the project  node bridge.mjs
        `down` would end 2 processes and 1 tmux session; nothing was touched
        ");
    }
}
