//! How long to wait before a service is started again.

use std::time::Duration;

use crate::manifest::model::Restart;

/// A small generator of random numbers (SplitMix64, Steele, Lea and Flood, 2014): the same seed
/// gives the same delays, so that a simulated life can be replayed.
#[derive(Debug, Clone)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, at least 0 and below 1.
    fn next_share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // 53 bits are what a double holds exactly.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How many restarts in a row may follow each other without a pause.
const QUICK_RESTARTS: u32 = 5;

/// The shortest delay after that. A service that ends at once must not keep the host busy.
const BRAKE: Duration = Duration::from_millis(200);

/// Whether start number `attempt` of a row of restarts comes later than the manifest says.
pub(super) fn is_braked(restart: &Restart, attempt: u32) -> bool {
    attempt > QUICK_RESTARTS && grown(restart, attempt) < BRAKE
}

/// The delay before start number `attempt` (1: the first restart) of a row of restarts: it grows by
/// `factor` from `delay` to `max_delay`. Jitter only shortens it, by up to that share, so that
/// `max_delay` stays the longest and services that failed together do not start together. A long row
/// of short delays is [braked](is_braked).
pub(super) fn delay(restart: &Restart, attempt: u32, jitter: &mut Jitter) -> Duration {
    let (grown, most_jitter) = if is_braked(restart, attempt) {
        (BRAKE, 0.5)
    } else {
        (grown(restart, attempt), 1.0)
    };
    let share = 1.0 - restart.jitter.clamp(0.0, most_jitter) * jitter.next_share();
    Duration::try_from_secs_f64(grown.as_secs_f64() * share).unwrap_or(restart.max_delay)
}

fn grown(restart: &Restart, attempt: u32) -> Duration {
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest = restart.max_delay.as_secs_f64();
    let seconds = restart.delay.as_secs_f64();
    let grown = if seconds > 0.0 {
        (seconds * restart.factor.powi(exponent)).min(longest)
    } else {
        0.0
    };
    Duration::try_from_secs_f64(grown).unwrap_or(restart.max_delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::model::Policy;

    fn restart(jitter: f64) -> Restart {
        Restart {
            policy: Policy::OnFailure,
            delay: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Duration::from_secs(60),
            jitter,
            stable_after: Duration::from_secs(60),
            max_failures: Some(10),
            no_retry_exit: Vec::new(),
        }
    }

    #[test]
    fn it_doubles_up_to_the_longest() {
        let mut jitter = Jitter::new(1);
        let delays: Vec<u64> = (1..=8)
            .map(|attempt| delay(&restart(0.0), attempt, &mut jitter).as_secs())
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let mut jitter = Jitter::new(1);
        for attempt in [0, 1, 5_000, u32::MAX] {
            assert!(delay(&restart(0.1), attempt, &mut jitter) <= Duration::from_secs(60));
        }
        let immediate = Restart {
            delay: Duration::ZERO,
            ..restart(0.1)
        };
        assert_eq!(delay(&immediate, 5, &mut jitter), Duration::ZERO);
        // A long row of them is braked.
        assert!(delay(&immediate, 6, &mut jitter) >= Duration::from_millis(100));
        assert!(delay(&immediate, u32::MAX, &mut jitter) <= Duration::from_millis(200));
        let endless = Restart {
            max_delay: Duration::MAX,
            ..restart(0.0)
        };
        assert!(delay(&endless, u32::MAX, &mut jitter) >= Duration::from_secs(60));
    }

    #[test]
    fn jitter_shortens_by_at_most_its_share_and_follows_the_seed() {
        let run = |seed| -> Vec<Duration> {
            let mut jitter = Jitter::new(seed);
            (0..100)
                .map(|_| delay(&restart(0.5), 3, &mut jitter))
                .collect()
        };
        let delays = run(7);
        assert!(delays.iter().all(|d| *d > Duration::from_secs(2)));
        assert!(delays.iter().all(|d| *d <= Duration::from_secs(4)));
        assert!(delays.iter().any(|d| *d < Duration::from_millis(2_500)));
        assert!(delays.iter().any(|d| *d > Duration::from_millis(3_500)));
        assert_eq!(delays, run(7));
        assert_ne!(delays, run(8));
    }
}
