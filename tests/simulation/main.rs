//! The machine, the plan and the graph together, in lives at random and by hand, with no process
//! and no real time.
//!
//! How many lives are lived is set by `PROPTEST_CASES`, which ones by `BAUDBOT_LIVES_FROM` (a number,
//! or `now` for others than last time). A life that breaks a rule is printed with
//! its seed, shrunk, and with the trace of all that happened; `BAUDBOT_LIFE=SEED` lives that one
//! life only. What was broken once stands in `named`.

mod client;
mod declare;
mod fake;
mod life;
mod named;
mod oracle;
mod plans;
mod random_lives;
mod world;
