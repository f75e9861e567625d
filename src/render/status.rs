//! The table of `status`, and the words for one service's state.

use anstyle::Style;
use jiff::Timestamp;

use super::table::{Cell, Table};
use super::{BAD, BUSY, FAINT, GOOD, Look, STRONG, human};
use crate::control::protocol::{ServiceStatus, Status};
use crate::machine::{Goal, StateWord};

/// The colour of a state.
pub fn state_style(state: StateWord) -> Style {
    match state {
        StateWord::Ready | StateWord::Completed => GOOD,
        StateWord::Waiting | StateWord::Starting | StateWord::Stopping | StateWord::Backoff => BUSY,
        StateWord::Unhealthy | StateWord::Blocked | StateWord::Failed => BAD,
        StateWord::Inactive | StateWord::Skipped => FAINT,
    }
}

/// `failed: exited with 1`, or the state alone where there is no reason to tell.
pub fn state(service: &ServiceStatus, look: &Look) -> String {
    let word = look.paint(state_style(service.state), service.state.word());
    match &service.reason {
        Some(reason) => format!("{word}: {reason}"),
        None => word,
    }
}

/// Whether a service is what it should be: up and well, or down because that is wanted.
pub fn is_as_wanted(service: &ServiceStatus) -> bool {
    match service.goal {
        Goal::Up => service.state.is_well(),
        Goal::Down => service.state.is_down() && !service.is_stuck,
    }
}

/// The whole screen: a line about the project, then a row for each service.
pub fn status(status: &Status, now: Timestamp, look: &Look) -> String {
    let mut text = headline(status, look);
    if status.services.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        "SERVICE",
        "STATE",
        "SINCE",
        "PID",
        "RESTARTS",
        "GROUPS",
        "PORTS/SESSION",
        "REASON",
    ]);
    for (name, service) in &status.services {
        table.row([
            Cell::styled(name.as_str(), STRONG),
            Cell::styled(service.state.word(), state_style(service.state)),
            or_dash(service.since.map(|since| human::ago(since, now))),
            or_dash(service.pid.map(|pid| pid.to_string())),
            service.restarts.to_string().into(),
            or_dash(joined(service.groups.iter())),
            or_dash(service.session.clone().or(joined(service.ports.iter()))),
            service.reason.as_deref().unwrap_or_default().into(),
        ]);
    }
    text += &table.text(look, "");
    text
}

fn headline(status: &Status, look: &Look) -> String {
    let project = look.paint(STRONG, status.project.as_str());
    // What is not to run here is neither up nor missing.
    let wanted = status
        .services
        .values()
        .filter(|one| one.goal == Goal::Up && one.state != StateWord::Skipped);
    let (mut total, mut well) = (0, 0);
    for service in wanted {
        total += 1;
        well += usize::from(is_as_wanted(service));
    }
    match &status.supervisor {
        Some(supervisor) => format!(
            "{project}: {well} of {} up, supervisor {}\n",
            human::count(total, "service"),
            supervisor.pid
        ),
        None => format!("{project}: not running\n"),
    }
}

fn joined(items: impl Iterator<Item = impl ToString>) -> Option<String> {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    (!items.is_empty()).then(|| items.join(","))
}

fn or_dash(text: Option<String>) -> Cell {
    text.map_or_else(Cell::none, Cell::from)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::control::protocol::{SupervisorStatus, VERSION};
    use crate::id::{GroupName, ProjectName, ServiceName};

    pub(crate) fn service(goal: Goal, state: StateWord) -> ServiceStatus {
        serde_json::from_value(serde_json::json!({
            "type": "process", "goal": goal, "state": state, "restarts": 0,
            "groups": [], "ports": [], "survivors": [], "waits_for": [], "is_stuck": false,
        }))
        .unwrap()
    }

    #[test]
    fn a_row_tells_all_that_the_issue_asks_for() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let mut web = service(Goal::Up, StateWord::Ready);
        web.pid = Some(4242);
        web.since = Some("2026-03-01T11:57:00Z".parse().unwrap());
        web.restarts = 2;
        web.groups = vec![
            GroupName::new("core").unwrap(),
            GroupName::new("edge").unwrap(),
        ];
        web.ports = vec![80, 443];
        let mut bridge = service(Goal::Up, StateWord::Failed);
        bridge.session = Some("baudbot-bridge".into());
        bridge.reason = Some("exited with 1; gave up after 10 failures in a row".into());
        let status = Status {
            version: VERSION,
            project: ProjectName::new("demo").unwrap(),
            supervisor: Some(SupervisorStatus {
                pid: 99,
                guardian_pid: None,
                manifest: None,
                usage: None,
            }),
            services: [("web", web), ("bridge", bridge)]
                .map(|(name, status)| (ServiceName::new(name).unwrap(), status))
                .into_iter()
                .collect(),
        };
        insta::assert_snapshot!(super::status(&status, now, &Look::PLAIN), @r"
        demo: 1 of 2 services up, supervisor 99
        SERVICE  STATE   SINCE   PID   RESTARTS  GROUPS     PORTS/SESSION   REASON
        web      ready   3m ago  4242  2         core,edge  80,443
        bridge   failed  -       -     0         -          baudbot-bridge  exited with 1; gave up after 10 failures in a row
        ");
    }

    #[test]
    fn what_is_wanted_decides_what_is_well() {
        for (goal, state, is_well) in [
            (Goal::Up, StateWord::Ready, true),
            (Goal::Up, StateWord::Completed, true),
            (Goal::Up, StateWord::Starting, false),
            (Goal::Up, StateWord::Inactive, false),
            (Goal::Up, StateWord::Skipped, true),
            (Goal::Down, StateWord::Inactive, true),
            (Goal::Down, StateWord::Stopping, false),
        ] {
            assert_eq!(
                is_as_wanted(&service(goal, state)),
                is_well,
                "{goal:?} {state:?}"
            );
        }
    }
}
