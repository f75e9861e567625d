//! What an order came to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::{error_word, help};
use super::status::{state, state_on_its_way};
use super::tally::Tally;
use super::{BUSY, FAINT, Look, STRONG, human, log, proof};
use crate::catalogue::Code;
use crate::code;
use crate::control::protocol::ServiceStatus;
use crate::event::By;
use crate::id::{ProjectName, ServiceName};
use crate::log_reader::Line;
use crate::machine::Goal;
use crate::plan::Order;

/// `3 services up (1.2s)`, or how many of them are not.
pub fn up(tally: &Tally, elapsed: Duration, look: &Look) -> String {
    let elapsed = look.paint(FAINT, &format!("({})", human::span(elapsed)));
    format!("{} {elapsed}\n", tally.outcome(look))
}

/// How a command about one service is typed.
pub type Typed<'a> = dyn Fn(&str, &ServiceName) -> String + 'a;

/// A service that failed: why, the end of its log, and how to see more.
pub fn failed(
    name: &ServiceName,
    service: &ServiceStatus,
    lines: &[Line],
    typed: &Typed<'_>,
    look: &Look,
) -> String {
    let mut text = headline(code!("run::service_failed"), name, service, look);
    if lines.is_empty() {
        text += &help(
            &format!("see the whole story with `{}`", typed("why", name)),
            look,
        );
    } else {
        text += &look.paint(FAINT, &format!("the last lines of `{name}`:"));
        text.push('\n');
        for line in lines {
            text += &log::line(name, 0, log::prefix_style(0), line, look);
        }
        let (logs, why) = (typed("logs", name), typed("why", name));
        text += &help(
            &format!("see all with `{logs}`, the whole story with `{why}`"),
            look,
        );
    }
    text
}

/// A service that cannot start.
pub fn blocked(
    name: &ServiceName,
    service: &ServiceStatus,
    typed: &Typed<'_>,
    look: &Look,
) -> String {
    headline(code!("run::service_blocked"), name, service, look)
        + &help(
            &format!("once that is mended: `{}`", typed("start", name)),
            look,
        )
}

/// A service of which something outlives KILL, so that no new run can begin.
pub fn stuck(
    name: &ServiceName,
    service: &ServiceStatus,
    typed: &Typed<'_>,
    look: &Look,
) -> String {
    let survivors = BTreeMap::from([(name.to_string(), service.survivors.clone())]);
    headline(code!("run::survivors"), name, service, look)
        + &proof::survivors(&survivors, look)
        + &help(
            &format!(
                "end what is left as its user or as root; `{name}` starts as soon as nothing of its \
                 last run is there, as `{}` shows",
                typed("why", name)
            ),
            look,
        )
}

/// That a later order wants the contrary of this one: ``` `web` is wanted again: `up` by process 42
/// of user alice ```.
pub fn overtaken(
    names: &[ServiceName],
    goal: Goal,
    order: Order,
    by: &By,
    user: Option<&str>,
) -> String {
    let list = human::names(names);
    let verb = if names.len() == 1 { "is" } else { "are" };
    let wanted = match goal {
        Goal::Up => "wanted again",
        Goal::Down => "not wanted any more",
    };
    let order = match order {
        Order::Up => "up",
        Order::Down => "down",
        Order::Restart => "restart",
    };
    let by = match by {
        By::Process {
            uid,
            pid: Some(pid),
        } => match user {
            Some(user) => format!("process {pid} of user {user}"),
            None => format!("process {pid} of user {uid}"),
        },
        By::Process { uid, pid: None } => {
            user.map_or_else(|| format!("user {uid}"), |user| format!("user {user}"))
        }
        By::Foreground => "the command that runs the supervisor in the foreground".into(),
        By::Signal => "a signal to the supervisor".into(),
    };
    format!("{list} {verb} {wanted}: `{order}` by {by}")
}

/// A service that runs on, since a new run could not start. `again`: the order, as it is typed.
pub fn kept(name: &ServiceName, lacks: &[String], again: &str, look: &Look) -> String {
    format!(
        "{} {} goes on as it is, since a new run could not start: {}\n",
        error_word(code!("run::service_kept"), look),
        look.paint(STRONG, &format!("`{name}`")),
        lacks.join("; ")
    ) + &help(&format!("once that is mended: `{again}`"), look)
}

/// The services that are not to run here, a line for each.
pub fn skipped<'a>(
    services: impl Iterator<Item = (&'a ServiceName, &'a ServiceStatus)>,
    look: &Look,
) -> String {
    services
        .map(|(name, service)| {
            let reason = service
                .reason
                .as_deref()
                .unwrap_or("its `when` does not hold");
            format!(
                "{} {reason}\n",
                look.paint(FAINT, &format!("`{name}` is skipped:"))
            )
        })
        .collect()
}

/// A service that neither failed nor is up: it ended, or somebody stopped it meanwhile.
pub fn not_running(
    name: &ServiceName,
    service: &ServiceStatus,
    typed: &Typed<'_>,
    look: &Look,
) -> String {
    headline(code!("run::service_ended"), name, service, look)
        + &help(
            &format!("start it again with `{}`", typed("start", name)),
            look,
        )
}

fn headline(code: Code, name: &ServiceName, service: &ServiceStatus, look: &Look) -> String {
    let name = look.paint(STRONG, &format!("`{name}`"));
    format!(
        "{} {name} is {}\n",
        error_word(code, look),
        state(service, look)
    )
}

/// Edits are waited for.
pub fn watching(files: usize, look: &Look) -> String {
    let text = format!(
        "watching {}; Ctrl-C ends the watching and leaves the services running",
        human::count(files, "file")
    );
    format!("{}\n", look.paint(FAINT, &text))
}

/// An edit was refused.
pub fn not_applied(look: &Look) -> String {
    format!(
        "{} what runs goes on as before\n",
        look.paint(BUSY, "not applied:")
    )
}

/// Somebody took the project down while edits were waited for.
pub fn went_down(look: &Look) -> String {
    format!(
        "{}\n",
        look.paint(FAINT, "the project was taken down; the watching ends")
    )
}

/// Time is up while these are on their way.
pub fn timed_out<'a>(
    pending: impl Iterator<Item = (&'a ServiceName, &'a ServiceStatus)>,
    look: &Look,
) -> String {
    let text = format!("{} the time is up\n", look.paint(BUSY, "timed out:"));
    text + &waited_for(pending, look)
}

/// Time is up before the supervisor has answered; `what_to_do` about that.
pub fn not_answered(what_to_do: Option<&str>, look: &Look) -> String {
    let text = format!(
        "{} the supervisor has not answered; it may take the order yet\n",
        look.paint(BUSY, "timed out:")
    );
    text + &what_to_do.map_or_else(String::new, |text| help(text, look))
}

/// Nobody waits any longer for these.
pub fn detached<'a>(
    pending: impl Iterator<Item = (&'a ServiceName, &'a ServiceStatus)>,
    look: &Look,
) -> String {
    let text = format!("{} no longer waiting\n", look.paint(BUSY, "interrupted:"));
    text + &waited_for(pending, look)
}

/// So many services that are on their way are told by name.
const MOST_PENDING: usize = 12;

fn waited_for<'a>(
    mut pending: impl Iterator<Item = (&'a ServiceName, &'a ServiceStatus)>,
    look: &Look,
) -> String {
    let mut text: String = pending
        .by_ref()
        .take(MOST_PENDING)
        .map(|(name, service)| {
            let name = look.paint(STRONG, &format!("`{name}`"));
            format!("  {name} is {}\n", state_on_its_way(service, look))
        })
        .collect();
    match pending.count() {
        0 => {}
        more => text += &format!("  and {more} more\n"),
    }
    text
}

/// The work goes on without the one who ordered it.
pub fn goes_on(look_command: &str, stop_command: &str, look: &Look) -> String {
    help(
        &format!(
            "this goes on in the background; look with `{look_command}`, end it with `{stop_command}`"
        ),
        look,
    )
}

/// There is nothing to take down.
pub fn nothing_runs(project: &ProjectName) -> String {
    format!("nothing of project `{project}` is running\n")
}
