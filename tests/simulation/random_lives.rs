//! The properties P1 to P10 over lives at random.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::life::{Life, lives};
use crate::oracle::Verdict;

/// Enough to catch each of the mistakes that were made on purpose, in a few seconds.
const LIVES: u64 = 1_000;

/// The most attempts to make a broken life smaller, unless `PROPTEST_MAX_SHRINK_ITERS` says less.
const MOST_SHRINKS: u32 = 3_000;

#[test]
fn no_life_breaks_a_rule() {
    if let Some(seed) = number("BAUDBOT_LIFE") {
        live(seed);
        return;
    }
    let lives = number("PROPTEST_CASES").unwrap_or(LIVES);
    // The same lives everywhere, so that a red build can be had again; `now` makes a soak of others.
    let first = match std::env::var("BAUDBOT_LIVES_FROM").as_deref() {
        Ok("now") => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(0, |now| u64::from(now.subsec_nanos()))
        }
        _ => number("BAUDBOT_LIVES_FROM").unwrap_or(0),
    };
    for seed in first..first + lives {
        live(seed);
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn live(seed: u64) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut tree = lives().new_tree(&mut runner).expect("a life");
    let Err(mut objection) = try_live(&tree.current()) else {
        return;
    };
    let mut smallest = tree.current();
    let most = MOST_SHRINKS.min(Config::default().max_shrink_iters());
    let mut shrinks = 0;
    let mut is_smaller = tree.simplify();
    while is_smaller && shrinks < most {
        shrinks += 1;
        let life = tree.current();
        is_smaller = match try_live(&life) {
            Err(smaller) => {
                objection = smaller;
                smallest = life;
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
    }
    panic!("{smallest:?}\n{objection}\n\nBAUDBOT_LIFE={seed} lives this life again");
}

fn try_live(life: &Life) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| life.live()))
        .unwrap_or_else(|_| Err("it panicked, as said above".into()))
}
