//! When the runs of services began, as the event log tells.

use std::collections::BTreeMap;
use std::io;

use jiff::{SignedDuration, Timestamp};

use crate::event::{Event, What};
use crate::id::{RunId, ServiceName};
use crate::log_reader::{Merged, Start};
use crate::store::Project;

/// The span of a run that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// When it began.
    pub(super) since: Timestamp,
    /// The last moment before the next one began.
    pub(super) until: Timestamp,
}

/// The run before the latest one, of each service that had two.
pub(super) fn previous(project: &Project) -> io::Result<BTreeMap<ServiceName, Span>> {
    let mut log = Merged::open(&[project.events_file()], Start::Oldest)?;
    let mut runs = Runs::default();
    while let Some((_, line)) = log.next_line()? {
        if let Some(event) = Event::read(&line.content) {
            runs.take(&event);
        }
    }
    Ok(runs.previous())
}

/// When the last two runs of a service began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The one before the latest, when it is known.
    pub(super) before: Option<Timestamp>,
    /// The latest.
    pub(super) latest: Timestamp,
}

/// When the last two runs of `service` began, as far as these events tell.
pub(super) fn bounds(events: &[Event], service: &ServiceName) -> Option<Bounds> {
    let mut runs = Runs::default();
    for event in events {
        runs.take(event);
    }
    let (before, _, latest) = runs.0.remove(service)?;
    Some(Bounds { before, latest })
}

/// The last moment before `moment`.
pub(super) fn just_before(moment: Timestamp) -> Option<Timestamp> {
    moment.checked_sub(SignedDuration::from_nanos(1)).ok()
}

/// The last two runs of each service, with when each was first heard of.
#[derive(Debug, Default)]
struct Runs(BTreeMap<ServiceName, (Option<Timestamp>, RunId, Timestamp)>);

impl Runs {
    fn take(&mut self, event: &Event) {
        let What::Service(change) = &event.what else {
            return;
        };
        let Some(run) = change.run else {
            return;
        };
        let known = self.0.entry(change.service.clone());
        let (before, latest, began) = known.or_insert((None, run, event.time));
        // Runs are counted up; the word about the end of an older one may come late.
        if run > *latest {
            (*before, *latest, *began) = (Some(*began), run, event.time);
        }
    }

    fn previous(self) -> BTreeMap<ServiceName, Span> {
        let span = |(before, _, began): (Option<Timestamp>, RunId, Timestamp)| {
            let until = just_before(began)?;
            Some(Span {
                since: before?,
                until,
            })
        };
        self.0
            .into_iter()
            .filter_map(|(name, runs)| Some((name, span(runs)?)))
            .collect()
    }
}
