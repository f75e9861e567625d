//! The sentences in which the machine tells people why. No value of an environment, no clock.

use crate::id::ServiceName;
use crate::machine::service::{Cause, Checks, Hopeless, Stage};
use crate::machine::{Ended, LeftBehind, Survivor};
use crate::manifest::model::{Condition, Exit, Service};
use crate::manifest::reference::Reference;

/// How the leader of a run ended.
pub(super) fn ended(ended: Ended) -> String {
    match ended {
        Ended::Exit(Exit::Code(code)) => format!("exited with {code}"),
        Ended::Exit(Exit::Signal(signal)) => format!("ended by {signal}"),
        Ended::ServerLost => "lost its tmux server".into(),
        Ended::SessionLost => "its tmux session was killed".into(),
        Ended::Unknown => "ended, exit status unknown".into(),
    }
}

/// How it ended, where that alone does not tell what is wrong with it.
pub(super) fn ended_early(how: Ended) -> String {
    format!("{} before it was ready", ended(how))
}

pub(super) fn start_timeout(service: &Service, last: Option<&str>) -> String {
    let limit = service.start_timeout();
    let mut text = String::from("not ready");
    if let Some(limit) = limit {
        text += &format!(" after {}", humantime::format_duration(limit));
    }
    if let Some(last) = last {
        text += &format!(": {last}");
    }
    text
}

pub(super) fn failed_so_often(why: &str, failures: u32, most: Option<u32>) -> String {
    match most {
        Some(most) => format!("{why}; failure {failures} of {most}"),
        None => format!("{why}; failure {failures}"),
    }
}

pub(super) fn gave_up(why: &str, failures: u32) -> String {
    match failures {
        1 => why.into(),
        failures => format!("{why}; gave up after {failures} failures in a row"),
    }
}

pub(super) fn hopeless(hopeless: &Hopeless) -> String {
    let Hopeless {
        through,
        root,
        what,
    } = hopeless;
    if through == root {
        format!("dependency `{root}` {what}")
    } else {
        format!("dependency `{through}` is blocked: `{root}` {what}")
    }
}

pub(super) fn waits_for(conditions: &[(ServiceName, Condition)]) -> String {
    if conditions.is_empty() {
        return "waits for its turn: many services are being started".into();
    }
    let list: Vec<String> = conditions
        .iter()
        .map(|(name, condition)| format!("`{name}` ({})", condition.word()))
        .collect();
    format!("waits for {}", list.join(", "))
}

pub(super) fn stops_after(names: &[ServiceName]) -> String {
    let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("is stopped after {}", list.join(", "))
}

pub(super) fn stopping(stage: &Stage, cause: &Cause) -> String {
    let how_far = match stage {
        Stage::Grace { .. } => "stop signal sent".into(),
        Stage::Killed { .. } => "KILL sent".into(),
        Stage::Stuck { survivors } => stuck(survivors),
    };
    match cause {
        Cause::Ordered => how_far,
        Cause::Ended(how) | Cause::EndedEarly(how) => format!("{}; {how_far}", ended(*how)),
        Cause::StartTimeout(why) | Cause::Unhealthy(why) | Cause::OutOfDate(why) => {
            format!("{why}; {how_far}")
        }
    }
}

/// A service that ends again and again is started less often than its manifest says, from now on.
pub(super) fn braked(why: &str) -> String {
    format!(
        "{why}; it ends again and again, so it is restarted a few times a second at most from now on"
    )
}

/// What became of the processes that a run left behind.
pub(super) fn left_behind(left: &LeftBehind) -> String {
    let named: Vec<String> = left
        .processes
        .iter()
        .map(|one| format!("{} ({})", one.pid, one.command))
        .collect();
    let more = match left.count.saturating_sub(named.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (processes, were) = match left.count {
        1 => ("1 process".to_owned(), "was"),
        many => (format!("{many} processes"), "were"),
    };
    format!(
        "it left {processes} behind, which {were} ended: {}{more}",
        named.join(", ")
    )
}

/// A run goes on, although a new one is wanted: that could not start.
pub(super) fn kept(why: &str, lacks: &[String]) -> String {
    format!(
        "{why}; is not restarted, since a new run could not start: {}",
        lacks.join("; ")
    )
}

fn stuck(survivors: &[Survivor]) -> String {
    let has_all_killed = survivors.iter().all(|one| one.is_killed);
    match (survivors.len(), has_all_killed) {
        (0, _) => "it has not ended after KILL was ordered".into(),
        (1, true) => "1 process outlives KILL".into(),
        (1, false) => "1 process could not be ended".into(),
        (many, true) => format!("{many} processes outlive KILL"),
        (many, false) => format!("{many} processes could not be ended"),
    }
}

/// Why a run is ended: what the health checks found of it.
pub(super) fn unhealthy(checks: &Checks) -> String {
    match checks.failed {
        1 => format!("unhealthy: {}", checks.found),
        many => format!("unhealthy, {many} checks in a row: {}", checks.found),
    }
}

/// The same for a service whose state is `unhealthy`: that word stands before the reason already.
pub(super) fn found(checks: &Checks) -> String {
    match checks.failed {
        1 => checks.found.clone(),
        many => format!("{many} checks in a row: {}", checks.found),
    }
}

/// A value that a run was started with is another one now.
pub(super) fn new_value_of(reference: &Reference) -> String {
    format!("`{reference}` changed")
}

/// A dependency whose restart is followed has a new run.
pub(super) fn new_run_of(dependency: &ServiceName) -> String {
    format!("`{dependency}` was restarted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declare::name;
    use crate::manifest::model::Signal;

    #[test]
    fn signals_have_the_names_that_people_know() {
        let by = |number| ended(Ended::Exit(Exit::Signal(Signal(number))));
        assert_eq!(by(9), "ended by SIGKILL");
        assert_eq!(by(15), "ended by SIGTERM");
        assert_eq!(by(40), "ended by signal 40");
    }

    #[test]
    fn the_reason_of_an_unhealthy_service_does_not_say_its_state_again() {
        let checks = |failed| Checks {
            failed,
            found: "refused".into(),
        };
        assert_eq!(found(&checks(1)), "refused");
        assert_eq!(found(&checks(3)), "3 checks in a row: refused");
        assert_eq!(unhealthy(&checks(1)), "unhealthy: refused");
    }

    #[test]
    fn a_chain_of_blocked_services_names_its_ends_only() {
        let on = |through, root| Hopeless {
            through: name(through),
            root: name(root),
            what: "failed: exited with 1".into(),
        };
        assert_eq!(
            hopeless(&on("db", "db")),
            "dependency `db` failed: exited with 1"
        );
        assert_eq!(
            hopeless(&on("api", "db")),
            "dependency `api` is blocked: `db` failed: exited with 1"
        );
    }
}
