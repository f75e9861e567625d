//! The one place where the supervisor asks what time it is.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use crate::sys::clock::since_boot;
use crate::time::Moment;

/// Ties the machine's moments to the monotonic clock and to the calendar. Moments are counted from
/// the boot, so that they mean the same to the next supervisor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    begun: Instant,
    begun_at: Moment,
    begun_on_calendar: Timestamp,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            begun: Instant::now(),
            begun_at: Moment::from_origin(since_boot()),
            begun_on_calendar: Timestamp::now(),
        }
    }

    /// When this clock was started.
    pub(super) fn begun_at(&self) -> Moment {
        self.begun_at
    }

    pub(super) fn now(&self) -> Moment {
        self.begun_at + self.begun.elapsed()
    }

    /// The moment as the runtime's timers take it.
    pub(super) fn instant(&self, moment: Moment) -> tokio::time::Instant {
        // What lies before our begin is due.
        tokio::time::Instant::from_std(self.begun + moment.since(self.begun_at))
    }

    /// The moment as people read it.
    pub(super) fn timestamp(&self, moment: Moment) -> Timestamp {
        let (later, earlier) = (moment.since(self.begun_at), self.begun_at.since(moment));
        let signed = |span| SignedDuration::try_from(span).unwrap_or(SignedDuration::ZERO);
        self.begun_on_calendar
            .checked_add(signed(later))
            .and_then(|time| time.checked_sub(signed(earlier)))
            .unwrap_or(self.begun_on_calendar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_before_and_after_the_begin_are_read_off_the_calendar() {
        let clock = Clock::start();
        let now = clock.now();
        let (before, after) = (now - Duration::from_secs(60), now + Duration::from_secs(60));
        let span = clock
            .timestamp(after)
            .duration_since(clock.timestamp(before));
        assert_eq!(span, SignedDuration::from_secs(120));
        assert!(clock.instant(before) <= tokio::time::Instant::now());
        assert!(clock.instant(after) > tokio::time::Instant::now());
    }

    #[test]
    fn two_clocks_agree() {
        let one = Clock::start().now();
        let other = Clock::start().now();
        let apart = other.since(one).max(one.since(other));
        assert!(apart < Duration::from_secs(10), "{apart:?}");
    }
}
