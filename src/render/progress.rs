//! What goes on while a command waits.
//!
//! On a terminal every service that is on its way has a live line with its state, the time it has
//! been in it and what it waits for; once it rests, its line stays behind for good. A service too
//! many for the screen is only counted. Anywhere else there is one plain line for each change of
//! state, which a program can read and a diff can compare.

use std::io::Write;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::status::{state, state_on_its_way};
use super::tally::is_as_wanted;
use super::visible::visible;
use super::{BAD, FAINT, GOOD, Look, STRONG, human};
use crate::control::protocol::ServiceStatus;
use crate::id::ServiceName;
use crate::machine::{Goal, StateWord};

/// How often a live line is drawn again by itself.
const TICK: Duration = Duration::from_millis(100);

/// Shows what becomes of services.
#[derive(Debug)]
pub struct Progress<W> {
    look: Look,
    output: W,
    width: usize,
    live: Option<Live>,
    seen: IndexMap<ServiceName, Seen>,
}

#[derive(Debug)]
struct Seen {
    state: StateWord,
    reason: Option<String>,
    awaits: Option<String>,
    is_settled: bool,
    /// When it was first seen on its way to where it rests.
    since: Instant,
    is_resting: bool,
}

impl<W: Write> Progress<W> {
    /// Nothing is shown yet. `names` are the services that may appear; only the longest matters.
    pub fn new<'a>(
        look: Look,
        output: W,
        names: impl IntoIterator<Item = &'a ServiceName>,
    ) -> Self {
        let width = names.into_iter().map(|name| name.as_str().len()).max();
        Self {
            look,
            output,
            width: width.unwrap_or(0),
            live: look.is_live.then(|| Live::new(look)),
            seen: IndexMap::new(),
        }
    }

    /// Takes a service in without a word: it is as it was before the order.
    pub fn know(&mut self, name: &ServiceName, service: &ServiceStatus) {
        let seen = Seen {
            state: service.state,
            reason: service.reason.clone(),
            awaits: service.awaits.clone(),
            is_settled: service.settled,
            since: Instant::now(),
            is_resting: true,
        };
        self.seen.insert(name.clone(), seen);
    }

    /// Shows what a service is now. `is_resting`: nothing more will become of it by this order.
    pub fn update(&mut self, name: &ServiceName, service: &ServiceStatus, is_resting: bool) {
        if self.was_over_already(name, service) {
            return self.know(name, service);
        }
        let before = self.seen.get(name);
        let is_same_state = before.is_some_and(|seen| seen.state == service.state);
        let has_same_reason = before.is_some_and(|seen| seen.reason == service.reason);
        let has_same_awaits = before.is_some_and(|seen| seen.awaits == service.awaits);
        let is_same_settled = before.is_some_and(|seen| seen.is_settled == service.settled);
        let is_same = is_same_state && has_same_reason && has_same_awaits && is_same_settled;
        // In a pipe a service that settles is told of once: when it has.
        let has_settled = service.state == StateWord::Ready && service.settled && !is_same_settled;
        let is_to_settle = service.state == StateWord::Ready && !service.settled;
        // Who keeps a stop waiting is told once in a pipe, be it one after the other.
        let is_first_told = before.is_none_or(|seen| seen.awaits.is_none())
            && service.state == StateWord::Stopping
            && service.awaits.is_some();
        let was_resting = before.is_some_and(|seen| seen.is_resting);
        if is_same && was_resting == is_resting {
            return;
        }
        let since = before
            .filter(|seen| !seen.is_resting)
            .map_or_else(Instant::now, |seen| seen.since);
        let elapsed = since.elapsed();
        let seen = Seen {
            state: service.state,
            reason: service.reason.clone(),
            awaits: service.awaits.clone(),
            is_settled: service.settled,
            since,
            is_resting,
        };
        self.seen.insert(name.clone(), seen);
        if let Some(live) = &mut self.live {
            if is_resting {
                live.remove(name);
                if !(is_same_state && was_resting) {
                    let line = resting_line(name, self.width, service, elapsed, &self.look);
                    live.print(&line);
                }
            } else {
                live.show(name, self.width, service, is_same_state);
            }
            return;
        }
        // What outlives its stop is news although the state is the same. That the rest of a run is
        // ended after its leader ended by itself is none: what it came to is told in a moment.
        let is_only_awaits = has_same_reason && was_resting == is_resting;
        let is_news = !is_same_state && !is_to_settle
            || has_settled
            || service.state == StateWord::Stopping && !is_only_awaits;
        if is_news && !is_clearing_up(service) || is_first_told {
            let line = plain_line(name, service, is_resting.then_some(elapsed));
            self.print(&line);
        }
    }

    /// Whether `down` only takes note of a service that had come to its end before, as a task does.
    fn was_over_already(&self, name: &ServiceName, service: &ServiceStatus) -> bool {
        let seen = self.seen.get(name);
        service.goal == Goal::Down
            && service.state.is_down()
            && seen.is_some_and(|seen| seen.is_resting && seen.state.is_down())
    }

    /// Shows text above whatever is live.
    pub fn print(&mut self, text: &str) {
        if let Some(live) = &self.live {
            live.print(text);
        } else {
            // A progress line that cannot be shown is no reason to stop.
            let shown = visible(text, self.look.has_colour);
            let _ = self.output.write_all(shown.as_bytes());
            let _ = self.output.flush();
        }
    }

    /// Removes what is live; what is shown for good stays.
    pub fn finish(&mut self) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
    }
}

impl<W> Drop for Progress<W> {
    fn drop(&mut self) {
        if let Some(live) = &mut self.live {
            live.clear();
        }
    }
}

/// Whether the leader ended by itself and whoever is left of the run was only just asked to end.
fn is_clearing_up(service: &ServiceStatus) -> bool {
    service.goal == Goal::Up
        && service.state == StateWord::Stopping
        && service
            .reason
            .as_ref()
            .is_some_and(|reason| reason.ends_with("; stop signal sent"))
}

/// `web: ready (1.2s)`, `web: failed: exited with 1`.
fn plain_line(name: &ServiceName, service: &ServiceStatus, elapsed: Option<Duration>) -> String {
    let mut text = format!("{name}: {}", state_on_its_way(service, &Look::PLAIN));
    if let Some(elapsed) = elapsed.filter(|_| is_as_wanted(service)) {
        text += &format!(" ({})", human::span(elapsed));
    }
    text.push('\n');
    text
}

/// `✓ web  ready  1.2s`, `✗ web  failed: exited with 1`. After a reason the time would read as a
/// part of that sentence.
fn resting_line(
    name: &ServiceName,
    width: usize,
    service: &ServiceStatus,
    elapsed: Duration,
    look: &Look,
) -> String {
    let (style, sign) = match (is_as_wanted(service), look.has_unicode) {
        (true, true) => (GOOD, "✓"),
        (true, false) => (GOOD, "+"),
        (false, true) => (BAD, "✗"),
        (false, false) => (BAD, "x"),
    };
    let mut line = format!(
        "{} {} {}",
        look.paint(style, sign),
        look.paint(STRONG, &format!("{name:width$}")),
        state(service, look),
    );
    if is_as_wanted(service) {
        let time = human::span(elapsed);
        let time = match service.reason {
            Some(_) => format!(" ({time})"),
            None => format!(" {time}"),
        };
        line += &look.paint(FAINT, &time);
    }
    line + "\n"
}

/// The live lines.
#[derive(Debug)]
struct Live {
    look: Look,
    lines: MultiProgress,
    shown: IndexMap<ServiceName, ProgressBar>,
    /// What there is no room for: name and what its line would say.
    waiting: IndexMap<ServiceName, (String, String)>,
    /// Says how many are waiting.
    more: Option<ProgressBar>,
    room: usize,
}

impl Live {
    fn new(look: Look) -> Self {
        let height = terminal_size::terminal_size_of(std::io::stderr())
            .map_or(24, |(_, height)| usize::from(height.0));
        Self {
            look,
            lines: MultiProgress::new(),
            shown: IndexMap::new(),
            waiting: IndexMap::new(),
            more: None,
            // The line that counts the rest, and one for the cursor.
            room: height.saturating_sub(3).max(1),
        }
    }

    fn show(
        &mut self,
        name: &ServiceName,
        width: usize,
        service: &ServiceStatus,
        is_same_state: bool,
    ) {
        let prefix = self.look.paint(STRONG, &format!("{name:width$}"));
        let message = state_on_its_way(service, &self.look);
        match self.shown.get(name) {
            Some(line) => {
                line.set_message(message);
                if !is_same_state {
                    line.reset_elapsed();
                }
            }
            None if self.shown.len() < self.room => self.add(name.clone(), prefix, message),
            None => {
                self.waiting.insert(name.clone(), (prefix, message));
                self.count_waiting();
            }
        }
    }

    fn add(&mut self, name: ServiceName, prefix: String, message: String) {
        let line = ProgressBar::new_spinner().with_style(line_style(&self.look));
        let line = self.lines.insert(self.shown.len(), line);
        line.set_prefix(prefix);
        line.set_message(message);
        line.enable_steady_tick(TICK);
        self.shown.insert(name, line);
    }

    fn remove(&mut self, name: &ServiceName) {
        self.waiting.shift_remove(name);
        if let Some(line) = self.shown.shift_remove(name) {
            line.finish_and_clear();
            self.lines.remove(&line);
            if let Some((name, (prefix, message))) = self.waiting.shift_remove_index(0) {
                self.add(name, prefix, message);
            }
        }
        self.count_waiting();
    }

    fn count_waiting(&mut self) {
        if self.waiting.is_empty() {
            if let Some(line) = self.more.take() {
                line.finish_and_clear();
                self.lines.remove(&line);
            }
            return;
        }
        let text = format!("  and {} more", self.waiting.len());
        if let Some(line) = &self.more {
            line.set_message(text);
            return;
        }
        let line = self.lines.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            line.set_style(style);
        }
        line.set_message(text);
        line.tick();
        self.more = Some(line);
    }

    fn print(&self, text: &str) {
        for line in visible(text, true).lines() {
            let _ = self.lines.println(line);
        }
    }

    fn clear(&mut self) {
        for (_, line) in self.shown.drain(..) {
            line.finish_and_clear();
        }
        if let Some(line) = self.more.take() {
            line.finish_and_clear();
        }
        let _ = self.lines.clear();
    }
}

fn line_style(look: &Look) -> ProgressStyle {
    let ticks = if look.has_unicode {
        "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "
    } else {
        "|/-\\ "
    };
    ProgressStyle::with_template("{spinner} {prefix} {elapsed:>5} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars(ticks)
        .with_key(
            "elapsed",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // Writing into a line's buffer does not fail.
                let _ = write!(out, "{:>5}", human::span(state.elapsed()));
            },
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::status::tests::service;

    fn lines(updates: &[(&str, StateWord, Option<&str>, bool)]) -> String {
        let mut output = Vec::new();
        let mut progress = Progress::new(Look::PLAIN, &mut output, []);
        progress.know(
            &ServiceName::new("kept").unwrap(),
            &service(Goal::Up, StateWord::Ready),
        );
        for (name, state, reason, is_resting) in updates {
            let mut service = service(Goal::Up, *state);
            service.reason = reason.map(str::to_owned);
            progress.update(&ServiceName::new(*name).unwrap(), &service, *is_resting);
        }
        drop(progress);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_pipe_gets_one_line_for_each_change_of_state() {
        let text = lines(&[
            ("kept", StateWord::Ready, None, true),
            (
                "web",
                StateWord::Waiting,
                Some("waits for `db` (ready)"),
                false,
            ),
            (
                "web",
                StateWord::Waiting,
                Some("waits for `x` (ready)"),
                false,
            ),
            ("web", StateWord::Starting, None, false),
            (
                "web",
                StateWord::Starting,
                Some("connection refused"),
                false,
            ),
            ("web", StateWord::Ready, None, true),
            ("web", StateWord::Ready, None, true),
            ("db", StateWord::Failed, Some("exited with 1"), true),
        ]);
        let text = regex::Regex::new(r"\([0-9.]+s\)")
            .unwrap()
            .replace_all(&text, "(TIME)");
        assert_eq!(
            text,
            "web: waiting: waits for `db` (ready)\n\
             web: starting\n\
             web: ready (TIME)\n\
             db: failed: exited with 1\n"
        );
    }

    #[test]
    fn what_is_waited_for_is_told_and_clearing_up_is_not() {
        let mut output = Vec::new();
        let mut progress = Progress::new(Look::PLAIN, &mut output, []);
        let name = ServiceName::new("db").unwrap();
        let mut db = service(Goal::Up, StateWord::Starting);
        db.awaits = Some("tcp 127.0.0.1:5432".into());
        progress.update(&name, &db, false);
        db.awaits = None;
        db.state = StateWord::Stopping;
        db.reason = Some("exited with 1; stop signal sent".into());
        progress.update(&name, &db, false);
        db.reason = Some("exited with 1; KILL sent".into());
        progress.update(&name, &db, false);
        db.state = StateWord::Backoff;
        db.reason = Some("exited with 1; failure 1 of 10".into());
        progress.update(&name, &db, false);
        drop(progress);
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "db: starting: waits for tcp 127.0.0.1:5432\n\
             db: stopping: exited with 1; KILL sent\n\
             db: backoff: exited with 1; failure 1 of 10\n"
        );
    }

    #[test]
    fn a_pipe_hears_of_who_settles_once() {
        let mut output = Vec::new();
        let mut progress = Progress::new(Look::PLAIN, &mut output, []);
        let name = ServiceName::new("web").unwrap();
        let mut web = service(Goal::Up, StateWord::Starting);
        progress.update(&name, &web, false);
        web.state = StateWord::Ready;
        web.deadline = Some("2026-03-01T12:00:00Z".parse().unwrap());
        progress.update(&name, &web, false);
        assert_eq!(state_on_its_way(&web, &Look::PLAIN), "started, settling");
        web.deadline = None;
        web.settled = true;
        progress.update(&name, &web, true);
        progress.update(&name, &web, true);
        drop(progress);
        let text = String::from_utf8(output).unwrap();
        assert!(text.starts_with("web: starting\nweb: ready ("), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn a_task_that_was_done_long_ago_is_not_told_of_when_it_goes_down() {
        let mut output = Vec::new();
        let mut progress = Progress::new(Look::PLAIN, &mut output, []);
        let name = |name| ServiceName::new(name).unwrap();
        progress.know(&name("done"), &service(Goal::Up, StateWord::Completed));
        let down = service(Goal::Down, StateWord::Inactive);
        progress.update(&name("done"), &down, true);
        progress.update(
            &name("web"),
            &service(Goal::Down, StateWord::Stopping),
            false,
        );
        progress.update(&name("web"), &down, true);
        drop(progress);
        let text = String::from_utf8(output).unwrap();
        assert!(text.starts_with("web: stopping\nweb: inactive"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn a_time_is_told_of_what_came_to_be_as_wanted_only() {
        let line = |goal, state, reason: Option<&str>| {
            let name = ServiceName::new("web").unwrap();
            let mut service = service(goal, state);
            service.reason = reason.map(str::to_owned);
            resting_line(&name, 5, &service, Duration::from_secs(2), &Look::PLAIN)
        };
        assert_eq!(
            line(Goal::Up, StateWord::Completed, None),
            "✓ web   completed 2.0s\n"
        );
        assert_eq!(
            line(Goal::Up, StateWord::Completed, Some("it left 1 process")),
            "✓ web   completed: it left 1 process (2.0s)\n"
        );
        assert_eq!(
            line(Goal::Up, StateWord::Inactive, Some("exited with 0")),
            "✗ web   inactive: exited with 0\n"
        );
    }

    #[test]
    fn what_outlives_its_stop_is_news() {
        let text = lines(&[
            ("web", StateWord::Stopping, Some("stop signal sent"), false),
            ("web", StateWord::Stopping, Some("KILL sent"), false),
            ("web", StateWord::Stopping, Some("KILL sent"), false),
        ]);
        assert_eq!(
            text,
            "web: stopping: stop signal sent\nweb: stopping: KILL sent\n"
        );
    }
}
