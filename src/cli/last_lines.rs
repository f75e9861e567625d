//! What the last run of a service printed at its end.

use std::io;

use jiff::Timestamp;

use super::runs;
use crate::event::Event;
use crate::id::ServiceName;
use crate::log_reader::{Line, Merged, Source, Start};
use crate::store::Project;

/// How many events are looked through for the beginning of a run, from the newest back.
const LAST_EVENTS: usize = 5000;

/// Which run is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The latest one, be it that it runs.
    Latest,
    /// The one before it: the latest one is the next attempt of a service that failed.
    Previous,
}

/// The last `count` lines of one run. That they cannot be read is not what the caller needs to hear.
pub(super) fn of_run(
    project: &Project,
    name: &ServiceName,
    whose: Whose,
    count: usize,
) -> Vec<Line> {
    of_run_among(&events(project), project, name, whose, count)
}

/// The same for a caller that has read the events.
pub(super) fn of_run_among(
    events: &[Event],
    project: &Project,
    name: &ServiceName,
    whose: Whose,
    count: usize,
) -> Vec<Line> {
    let bounds = runs::bounds(events, name);
    let (since, until) = match (whose, bounds) {
        // The events of that time are gone; the lines may be all that is left.
        (Whose::Latest, None) => (None, None),
        (Whose::Latest, Some(bounds)) => (Some(bounds.latest), None),
        (Whose::Previous, Some(bounds)) if bounds.before.is_some() => {
            (bounds.before, runs::just_before(bounds.latest))
        }
        (Whose::Previous, _) => return Vec::new(),
    };
    lines(project, name, since, until, count).unwrap_or_default()
}

/// What happened last, the oldest first.
pub(super) fn events(project: &Project) -> Vec<Event> {
    let read = || {
        let mut merged = Merged::open(&[project.events_file()], Start::Last(LAST_EVENTS))?;
        let mut events = Vec::new();
        while let Some((_, line)) = merged.next_line()? {
            events.extend(Event::read(&line.content));
        }
        Ok::<_, io::Error>(events)
    };
    read().unwrap_or_default()
}

fn lines(
    project: &Project,
    name: &ServiceName,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    count: usize,
) -> io::Result<Vec<Line>> {
    let source = Source {
        since,
        until,
        ..Source::new(&project.log_file(name))
    };
    let mut merged = Merged::open_chosen(vec![source], Start::Last(count), None)?;
    let mut lines = Vec::new();
    while let Some((_, line)) = merged.next_line()? {
        lines.push(line);
    }
    Ok(lines)
}
