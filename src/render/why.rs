//! The screen of `why`.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::failure::help;
use super::status::{coming, state_style, state_with_reason};
use super::visible::one_line;
use super::{BAD, FAINT, GOOD, Look, STRONG, human};
use crate::control::protocol::{LastProbe, Question, ServiceStatus};
use crate::event::{Asked, By};
use crate::machine::{Ended, Goal, StateWord};
use crate::manifest::model::Exit;
use crate::plan::Order;
use crate::story::{self, End, Need, Story, Written};

/// What the screen is made for.
#[derive(Clone, Copy)]
pub struct Screen<'a> {
    /// When it is made.
    pub now: Timestamp,
    /// Where it is read.
    pub zone: &'a TimeZone,
    /// What it looks like.
    pub look: Look,
    /// From where paths are shown.
    pub here: &'a Path,
    /// How `baudbot COMMAND` is typed to mean this project.
    pub typed: &'a dyn Fn(&str) -> String,
}

/// Labels stand in a column of this width.
const LABEL: usize = 11;

/// The whole story: a sentence, then a line for each thing that is known, then what to type.
pub fn why(story: &Story, screen: &Screen<'_>) -> String {
    let look = &screen.look;
    let mut text = headline(story, look);
    let mut tell = |label: &str, lines: Vec<String>| {
        for (number, line) in lines.iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let label = look.paint(FAINT, &format!("{label:LABEL$}"));
            text += format!("  {label} {line}").trim_end();
            text.push('\n');
        }
    };
    tell("declared", vec![declared(story, screen)]);
    if let Some(status) = &story.status {
        tell("goal", vec![goal(status, story, screen)]);
        tell("since", since(status, story, screen));
        tell("coming", coming(status, screen.now).into_iter().collect());
        let says = super::status::says(status).map(str::to_owned);
        tell("says", says.into_iter().collect());
        tell("process", process(status));
        tell("input", input(status, story).into_iter().collect());
        tell("probe", probe(status.last_probe.as_ref(), screen));
    }
    let decided = story.decided_by.iter();
    tell(
        "decided by",
        decided.map(|field| written(field, screen)).collect(),
    );
    tell("needs", needs(&story.needs, look));
    if !story.needed_by.is_empty() {
        tell("needed by", vec![human::names(&story.needed_by)]);
    }
    tell("survivors", survivors(story));
    let ends = story.ends.iter();
    tell("last ends", ends.map(|end| ended(end, screen)).collect());
    tell("last lines", story.log.clone());
    for next in &story.next {
        let typed = (screen.typed)(&next.command);
        text += &help(&format!("{}: `{typed}`", next.purpose), look);
    }
    text
}

fn headline(story: &Story, look: &Look) -> String {
    let name = look.paint(STRONG, &format!("`{}`", story.service));
    match &story.status {
        Some(status) => {
            let word = match status.state {
                StateWord::Backoff => "in ",
                _ => "",
            };
            format!("{name} is {word}{}\n", state_with_reason(status, look))
        }
        None => format!("{name} is {}\n", look.paint(BAD, "not declared any more")),
    }
}

fn declared(story: &Story, screen: &Screen<'_>) -> String {
    let what = story.status.as_ref().map_or_else(String::new, |status| {
        let groups = match status.groups.as_slice() {
            [] => String::new(),
            groups => format!(" in {}", human::names(groups)),
        };
        format!(", a {}{groups}", status.kind)
    });
    match (&story.declared_at, story.is_declared) {
        (Some(place), _) => format!("{}{what}", written(place, screen)),
        (None, Some(_)) => format!("no longer{what}"),
        (None, None) => format!("where no manifest can be read from here{what}"),
    }
}

fn goal(status: &ServiceStatus, story: &Story, screen: &Screen<'_>) -> String {
    if !story.is_supervised {
        return "none: no supervisor runs".into();
    }
    let goal = match status.goal {
        Goal::Up => "up",
        Goal::Down => "down",
    };
    match &story.asked {
        Some(asked) => {
            let ago = screen.look.paint(FAINT, &ago(asked.at, screen));
            format!("{goal}; last order: {} {ago}", order(&asked.asked))
        }
        None => goal.to_owned(),
    }
}

/// `up @core` of process 4242, user 1000.
fn order(asked: &Asked) -> String {
    let order = match asked.order {
        Order::Up => "up",
        Order::Down => "down",
        Order::Restart => "restart",
    };
    let words: Vec<&str> = std::iter::once(order)
        .chain(asked.now.then_some("--now"))
        .chain(asked.selection.iter().map(String::as_str))
        .collect();
    let by = match &asked.by {
        By::Process {
            uid,
            pid: Some(pid),
        } => format!("process {pid} of user {uid}"),
        By::Process { uid, pid: None } => format!("user {uid}"),
        By::Foreground => "the supervisor itself, in the foreground".into(),
        By::Signal => "a signal to the supervisor".into(),
    };
    format!("`{}` by {by},", words.join(" "))
}

fn since(status: &ServiceStatus, story: &Story, screen: &Screen<'_>) -> Vec<String> {
    let restarts = match status.restarts {
        0 => String::new(),
        1 => ", after 1 restart".into(),
        many => format!(", after {many} restarts"),
    };
    let since = status.since.filter(|_| story.is_supervised);
    since
        .map(|since| time(since, screen) + &restarts)
        .into_iter()
        .collect()
}

fn process(status: &ServiceStatus) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(status.pid.map(|pid| format!("pid {pid}")));
    if let Some(usage) = &status.usage {
        let members = usize::try_from(usage.processes).unwrap_or(usize::MAX);
        parts.push(human::count(members, "process"));
        let cpu = std::time::Duration::from_millis(usage.cpu_ms);
        parts.push(format!("{} of processor time", human::span(cpu)));
        let memory = usage.memory_bytes.map(human::bytes);
        parts.extend(memory.map(|bytes| format!("{bytes} of memory")));
    }
    match status.ports.as_slice() {
        [] => {}
        [port] => parts.push(format!("port {port}")),
        ports => {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            parts.push(format!("ports {}", ports.join(", ")));
        }
    }
    let session = status.session.as_ref().filter(|_| !status.state.is_down());
    parts.extend(session.map(|name| format!("tmux session `{name}`")));
    match parts.as_slice() {
        [] => Vec::new(),
        parts => vec![parts.join(", ")],
    }
}

/// A program that ends well by itself may have read the end of its standard input.
fn input(status: &ServiceStatus, story: &Story) -> Option<String> {
    let last = story.ends.first()?;
    let ended_well = last.exit == Some(Ended::Exit(Exit::Code(0))) && last.ended_by_us.is_none();
    let is_over = status.state.is_down() || status.state == StateWord::Backoff;
    (status.kind == "process" && is_over && ended_well).then(|| {
        "/dev/null; a program that ends when its input ends (`--watch`, a prompt) runs as `type: tmux`"
            .to_owned()
    })
}

fn probe(last: Option<&LastProbe>, screen: &Screen<'_>) -> Vec<String> {
    let Some(last) = last else {
        return Vec::new();
    };
    let question = match last.question {
        Question::Ready => "ready",
        Question::Health => "health",
    };
    let verdict = match (last.succeeded, &last.found) {
        (true, _) => "well".to_owned(),
        (false, Some(found)) => found.clone(),
        (false, None) => "not yet".to_owned(),
    };
    let in_a_row = match last.failed_in_a_row {
        0 | 1 => String::new(),
        many => format!(", {many} in a row"),
    };
    let first = format!(
        "{question}.{}: {verdict}{in_a_row} {}",
        last.probe,
        screen
            .look
            .paint(FAINT, &format!("({})", ago(last.at, screen)))
    );
    let output = last
        .output
        .lines()
        .map(|line| super::log::plain(line.as_bytes()));
    std::iter::once(first)
        .chain(output.map(|line| format!("  {line}")))
        .collect()
}

/// `baudbot.yaml:12 restart.max_failures`.
fn written(place: &Written, screen: &Screen<'_>) -> String {
    let file = place.file.strip_prefix(screen.here).unwrap_or(&place.file);
    let at = format!("{}:{}", file.display(), place.line);
    match place.field.as_str() {
        "" => at,
        field => format!("{at} `{field}`"),
    }
}

fn needs(needs: &[Need], look: &Look) -> Vec<String> {
    needs
        .iter()
        .map(|need| {
            let style = match need.is_met {
                true => GOOD,
                false => state_style(need.state),
            };
            let mut text = format!(
                "{} ({}): {}",
                look.paint(STRONG, &format!("`{}`", need.service)),
                need.condition.word(),
                look.paint(style, need.state.word())
            );
            if let Some(reason) = need.reason.as_ref().filter(|_| !need.is_met) {
                text += &format!(": {}", one_line(reason));
            }
            text
        })
        .collect()
}

fn survivors(story: &Story) -> Vec<String> {
    let survivors = story.status.iter().flat_map(|status| &status.survivors);
    survivors
        .map(|one| {
            format!(
                "pid {} of {}: {} ({})",
                one.pid, one.user, one.command, one.reason
            )
        })
        .collect()
}

fn ended(end: &End, screen: &Screen<'_>) -> String {
    let how = match (&end.exit, &end.ended_by_us) {
        (Some(exit), _) => story::ended(*exit),
        (None, Some(_)) => "ended".into(),
        (None, None) => "its end was not seen".into(),
    };
    let by = match (&end.ended_by_us, end.exit.is_some_and(story::is_signal)) {
        (Some(why), _) => format!("; we ended it: {why}"),
        (None, true) => "; that signal did not come from baudbot".into(),
        (None, false) => String::new(),
    };
    let note = end.note.as_ref();
    let note = note.map_or_else(String::new, |note| format!("; {note}"));
    let run = end
        .run
        .map_or_else(String::new, |run| format!(", run {run}"));
    format!("{}{run}: {how}{by}{note}", time(end.at, screen))
}

/// `2026-11-25 09:12:03 (3m ago)`.
fn time(at: Timestamp, screen: &Screen<'_>) -> String {
    let wall = screen.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S");
    let ago = screen.look.paint(FAINT, &format!("({})", ago(at, screen)));
    format!("{wall} {ago}")
}

fn ago(at: Timestamp, screen: &Screen<'_>) -> String {
    match human::ago(at, screen.now).as_str() {
        "now" => "just now".into(),
        ago => ago.to_owned(),
    }
}
