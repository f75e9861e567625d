//! What an order came to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::{error_word, help, warning_with};
use super::status::{state, state_on_its_way};
use super::tally::Tally;
use super::{BUSY, FAINT, Look, STRONG, human, log, proof};
use crate::catalogue::Code;
use crate::code;
use crate::control::protocol::ServiceStatus;
use crate::event::By;
use crate::id::{ProjectName, ServiceName};
use crate::log_reader::Line;
use crate::machine::{Goal, LeftBehind, StateWord};
use crate::plan::Order;

/// `3 services up (1.2s)`, or how many of them are not.
pub fn up(tally: &Tally, elapsed: Duration, look: &Look) -> String {
    let elapsed = look.paint(FAINT, &format!("({})", human::span(elapsed)));
    format!("{} {elapsed}\n", tally.outcome(look))
}

/// The manifest that is watched is not there; the watching goes on.
pub fn away(file: &std::path::Path, look: &Look) -> String {
    super::failure::note(
        &format!(
            "{} is not there: what runs goes on, and is looked at again when the file is back",
            file.display()
        ),
        look,
    )
}

/// How a command about one service is typed.
pub type Typed<'a> = dyn Fn(&str, &ServiceName) -> String + 'a;

/// What keeps an order from being fulfilled.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    /// The service.
    pub name: &'a ServiceName,
    /// What is true of it.
    pub service: &'a ServiceStatus,
    /// The last lines of its run, when it had one.
    pub lines: &'a [Line],
    /// The services that wait for it.
    pub waiting: &'a [&'a ServiceName],
    /// Other services that are blocked for the very same reason.
    pub alike: &'a [&'a ServiceName],
    /// Whether it has failed several times, and the supervisor goes on trying.
    pub is_tried_again: bool,
}

/// One cause: what is wrong, the end of the log, which services wait for it, and what to type next.
pub fn cause(cause: &Cause<'_>, typed: &Typed<'_>, look: &Look) -> String {
    let Cause {
        name,
        service,
        lines,
        waiting,
        alike,
        is_tried_again,
    } = *cause;
    if service.is_stuck {
        return stuck(name, service, typed, look) + &waiting_for_it(waiting);
    }
    let (code, next) = match service.state {
        StateWord::Blocked => (code!("run::service_blocked"), Next::Start),
        StateWord::Inactive => (code!("run::service_ended"), Next::Start),
        _ => (code!("run::service_failed"), Next::Why),
    };
    let mut text = headline(code, name, service, look);
    if is_tried_again && service.state != StateWord::Backoff {
        let failures = human::count(service.failures as usize, "time");
        text = format!("{}; it has failed {failures} in a row\n", text.trim_end());
    }
    text += &last_lines(name, lines, look);
    text += &blocked_alike(alike);
    text += &waiting_for_it(waiting);
    let why = typed("why", name);
    let start = typed("start", name);
    let next = match next {
        // It would end in the same way; what was left behind is told with what to do about it.
        Next::Start if service.left_behind.is_some() => format!("see the whole story with `{why}`"),
        Next::Start if service.state == StateWord::Inactive && !service.has_been_ready => {
            format!(
                "start it again with `{start}`; a command that is meant to end is a `type: task`"
            )
        }
        Next::Start if service.state == StateWord::Inactive => {
            format!("start it again with `{start}`")
        }
        Next::Start if !alike.is_empty() => {
            let all = std::iter::once(name).chain(alike.iter().copied());
            let starts: Vec<String> = all.map(ToString::to_string).collect();
            match starts.len() {
                ..=LONGEST_COMMAND => {
                    format!("once that is mended: `{} {}`", start, starts[1..].join(" "))
                }
                _ => format!("once that is mended, give the order again, or: `{start}`"),
            }
        }
        Next::Start => format!("once that is mended: `{start}`"),
        Next::Why if !is_tried_again && !waiting.is_empty() => {
            format!("see the whole story with `{why}`; once that is mended: `{start}`")
        }
        Next::Why if lines.is_empty() => format!("see the whole story with `{why}`"),
        Next::Why => {
            let logs = typed("logs", name);
            format!("see all with `{logs}`, the whole story with `{why}`")
        }
    };
    text + &help(&next, look)
}

/// How many services a command that is printed names at most.
const LONGEST_COMMAND: usize = 6;

fn blocked_alike(alike: &[&ServiceName]) -> String {
    let names = human::first_names(alike);
    match alike.len() {
        0 => String::new(),
        1 => format!("1 more service is blocked for the same reason: {names}\n"),
        many => format!("{many} more services are blocked for the same reason: {names}\n"),
    }
}

fn waiting_for_it(waiting: &[&ServiceName]) -> String {
    let names = human::first_names(waiting);
    match waiting.len() {
        0 => String::new(),
        1 => format!("1 service waits for it: {names}\n"),
        many => format!("{many} services wait for it: {names}\n"),
    }
}

enum Next {
    Start,
    Why,
}

/// A service that failed for the first time and is tried again: what it printed last.
/// In a pipe the line before this one tells how.
pub fn first_failure(
    name: &ServiceName,
    service: &ServiceStatus,
    lines: &[Line],
    why: &str,
    look: &Look,
) -> String {
    let how = match look.is_live {
        true => format!(
            "{}: {}\n",
            look.paint(STRONG, name.as_str()),
            state(service, look)
        ),
        false => String::new(),
    };
    how + &last_lines(name, lines, look) + &help(&format!("see the whole story with `{why}`"), look)
}

fn last_lines(name: &ServiceName, lines: &[Line], look: &Look) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text = look.paint(FAINT, &format!("the last lines of `{name}`:"));
    text.push('\n');
    for line in lines {
        text += &log::line(name, 0, log::prefix_style(0), line, look);
    }
    text
}

/// A service of which something outlives KILL, so that no new run can begin.
fn stuck(name: &ServiceName, service: &ServiceStatus, typed: &Typed<'_>, look: &Look) -> String {
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

/// A service whose processes were ended because its run was over.
pub fn left_behind(name: &ServiceName, left: &LeftBehind, look: &Look) -> String {
    let (processes, were) = match left.count {
        1 => ("a process".to_owned(), "was"),
        many => (format!("{many} processes"), "were"),
    };
    let mut text = warning_with(
        code!("run::left_behind"),
        &format!("`{name}` left {processes} behind when it ended, which {were} ended too"),
        look,
    );
    for one in &left.processes {
        text += &format!("  {} ({})\n", one.pid, one.command);
    }
    let more = left.count.saturating_sub(left.processes.len());
    if more > 0 {
        text += &format!("  and {more} more\n");
    }
    text + &help(
        "a program that is to go on running is run in the foreground, as the `command` of a service \
         of `type: process`; a server that must put itself into the background names the process \
         that goes on with `MAINPID=` (`ready: notify`)",
        look,
    )
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

fn headline(code: Code, name: &ServiceName, service: &ServiceStatus, look: &Look) -> String {
    let name = look.paint(STRONG, &format!("`{name}`"));
    let word = match service.state {
        StateWord::Backoff => "in ",
        _ => "",
    };
    format!(
        "{} {name} is {word}{}\n",
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
    let text = format!(
        "{} `--timeout` has passed\n",
        look.paint(BUSY, "timed out:")
    );
    text + &waited_for(pending, look)
}

/// Time is up before the supervisor has answered; `what_to_do` about that.
pub fn not_answered(what_to_do: Option<&str>, look: &Look) -> String {
    let text = format!(
        "{} the supervisor has not answered; what was asked of it may be done yet\n",
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
