//! The one place where the supervisor asks what time it is.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::time::Moment;

/// Ties the machine's moments to the monotonic clock and to the calendar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
    origin_on_calendar: Timestamp,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            origin: Instant::now(),
            origin_on_calendar: Timestamp::now(),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::from_origin(self.origin.elapsed())
    }

    /// The moment as the runtime's timers take it.
    pub(super) fn instant(&self, moment: Moment) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + moment.since_origin())
    }

    /// The moment as people read it.
    pub(super) fn timestamp(&self, moment: Moment) -> Timestamp {
        SignedDuration::try_from(moment.since_origin())
            .ok()
            .and_then(|elapsed| self.origin_on_calendar.checked_add(elapsed).ok())
            .unwrap_or(self.origin_on_calendar)
    }
}
