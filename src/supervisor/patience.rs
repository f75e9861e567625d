//! Time limits that allow for a pause of the supervisor itself.
//!
//! A supervisor that was stopped (SIGSTOP, a debugger) or starved finds, when it goes on, that a limit
//! has passed while it could not have heard an answer. The service is not to blame for that. So the
//! supervisor first hears what has arrived meanwhile, and a limit that ran out during a pause begins
//! again. A limit that is noticed late tells of the pause; no timer runs only to find one. (While the
//! whole host sleeps, the clock of the timers stands still.)

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

/// A limit that is noticed later than this ran out during a pause of the supervisor.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the machine's deadlines wait after a pause, so that a probe can be answered first.
const CHANCE: Duration = Duration::from_secs(1);

/// Once a limit has passed: how long the supervisor takes to hear what has arrived already.
const HEARD_WITHIN: Duration = Duration::from_millis(100);

/// How often a limit begins again at most: a host that is too busy all the time must not hide a service
/// that hangs.
const MOST_PAUSES: u32 = 5;

/// Waits for `future`, at most for `limit`; `None` when it has not come.
pub(super) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..MOST_PAUSES {
        let due = Instant::now() + limit;
        if let Ok(value) = timeout_at(due, &mut future).await {
            return Some(value);
        }
        if due.elapsed() < PAUSE {
            break;
        }
    }
    timeout(HEARD_WITHIN, future).await.ok()
}

/// Puts off the machine's deadlines after a pause.
#[derive(Default)]
pub(super) struct Deferral {
    until: Option<Instant>,
    pauses: u32,
}

impl Deferral {
    /// When a deadline is to be judged.
    pub(super) fn due(&self, deadline: Instant) -> Instant {
        self.until.map_or(deadline, |until| until.max(deadline))
    }

    /// The loop was woken for what was [`due`](Self::due); whether a pause made it late, so that the
    /// deadline is to be judged later.
    pub(super) fn puts_off(&mut self, due: Instant) -> bool {
        if due.elapsed() < PAUSE || self.pauses >= MOST_PAUSES {
            *self = Self::default();
            return false;
        }
        self.pauses += 1;
        self.until = Some(Instant::now() + CHANCE);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_ago() -> Instant {
        Instant::now() - 4 * PAUSE
    }

    #[tokio::test]
    async fn a_limit_that_ran_out_during_a_pause_begins_again() {
        let limit = Duration::from_millis(500);
        let comes = tokio::time::sleep(Duration::from_millis(1300));
        let pauses = async { std::thread::sleep(Duration::from_millis(1200)) };
        let (come, ()) = tokio::join!(within(limit, comes), pauses);
        assert_eq!(come, Some(()));
    }

    #[tokio::test]
    async fn what_does_not_come_is_given_up() {
        let never = std::future::pending::<()>();
        assert_eq!(within(Duration::from_millis(1), never).await, None);
    }

    #[test]
    fn a_deadline_that_is_noticed_late_waits_for_what_has_arrived() {
        let mut deferral = Deferral::default();
        let deadline = long_ago();
        let now = Instant::now();
        assert!(deferral.puts_off(deferral.due(deadline)));
        assert!(deferral.due(deadline) >= now + CHANCE);
        // What is due later anyway is not put off.
        let later = now + 60 * CHANCE;
        assert_eq!(deferral.due(later), later);
        assert!(!deferral.puts_off(Instant::now()));
        assert_eq!(deferral.due(deadline), deadline);
    }

    #[test]
    fn a_supervisor_that_is_always_late_judges_in_the_end() {
        let mut deferral = Deferral::default();
        let put_off = (0..100).take_while(|_| deferral.puts_off(long_ago()));
        assert_eq!(put_off.count(), MOST_PAUSES as usize);
    }
}
