//! Processes that do what a script says, on a clock that somebody else turns.

use std::time::Duration;

use baudbot::id::{RunId, ServiceName};
use baudbot::machine::{Ended, Found, RunEvent, StartFailure, Survivor};
use baudbot::manifest::model::{Exit, Signal};

/// What one run of a service does. Times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    /// How long the shell takes to answer.
    pub(crate) answer_after: u64,
    pub(crate) answer: Answer,
    /// From the answer; `None`: never.
    pub(crate) ready_after: Option<u64>,
    /// From the answer, by itself; `None`: never.
    pub(crate) ends_after: Option<(u64, Ended)>,
    /// How long the leader takes after the stop signal; `None`: it ignores it.
    pub(crate) heeds_term_after: Option<u64>,
    /// What its health checks find, from the answer on; they are made while it is ready only.
    pub(crate) checks: Vec<(u64, bool)>,
    /// What the leader leaves behind.
    pub(crate) stragglers: Stragglers,
    pub(crate) on_kill: OnKill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Spawned,
    /// The command is executed even if a stop comes first.
    SpawnedStubbornly,
    Failed,
    Blocked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stragglers {
    None,
    /// They heed the stop signal after this time.
    Heed(u64),
    /// They end by KILL only.
    Ignore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnKill {
    /// All end after this time.
    Dies(u64),
    /// They are reported as survivors and end after this time all the same.
    DiesLate(u64),
    /// They are reported as survivors and never end.
    Survives,
    /// Nothing is heard of them ever again.
    Silence,
}

impl Script {
    /// Starts at once, is ready at once, runs until it is told to stop, and then does.
    pub(crate) fn well() -> Self {
        Self {
            answer_after: 1,
            answer: Answer::Spawned,
            ready_after: Some(1),
            ends_after: None,
            heeds_term_after: Some(1),
            checks: Vec::new(),
            stragglers: Stragglers::None,
            on_kill: OnKill::Dies(1),
        }
    }

    /// Starts at once and ends at once.
    pub(crate) fn ends(code: i32) -> Self {
        Self {
            ends_after: Some((1, Ended::Exit(Exit::Code(code)))),
            ..Self::well()
        }
    }
}

/// What is due to happen to a fake process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Answer,
    Ready,
    Checked(bool),
    LeaderEnds(Ended),
    StragglersEnd,
    KillReport,
    KillLands,
}

/// A fake process: the truth, of which the machine hears with some delay.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    pub(crate) service: ServiceName,
    pub(crate) run: RunId,
    script: Script,
    phase: Phase,
    is_ready: bool,
    is_terminated: bool,
    is_killed: bool,
    /// How its leader ended.
    ended: Option<Ended>,
    /// Whether its command was executed.
    is_executed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asked,
    Runs,
    StragglersOnly,
    Over,
}

/// What comes of something: what is to be told, and what is due later.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    pub(crate) told: Vec<RunEvent>,
    pub(crate) due: Vec<(Duration, Due)>,
}

impl Aftermath {
    fn later(&mut self, milliseconds: u64, due: Due) {
        self.due.push((Duration::from_millis(milliseconds), due));
    }
}

impl Fake {
    /// The shell was asked to spawn.
    pub(crate) fn ask(service: ServiceName, run: RunId, script: Script) -> (Self, Aftermath) {
        let mut aftermath = Aftermath::default();
        aftermath.later(script.answer_after, Due::Answer);
        let fake = Self {
            service,
            run,
            script,
            phase: Phase::Asked,
            is_ready: false,
            is_terminated: false,
            is_killed: false,
            ended: None,
            is_executed: false,
        };
        (fake, aftermath)
    }

    /// Whether a process of it lives.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Runs | Phase::StragglersOnly)
    }

    /// Whether nothing will ever end it.
    pub(crate) fn is_immortal(&self) -> bool {
        let is_out_of_reach = matches!(self.script.on_kill, OnKill::Survives | OnKill::Silence);
        self.is_alive() && self.is_killed && is_out_of_reach
    }

    pub(crate) fn terminate(&mut self) -> Aftermath {
        self.is_terminated = true;
        let mut aftermath = Aftermath::default();
        self.react(&mut aftermath);
        aftermath
    }

    pub(crate) fn kill(&mut self) -> Aftermath {
        self.is_killed = true;
        let mut aftermath = Aftermath::default();
        self.react(&mut aftermath);
        aftermath
    }

    /// What the living do about the signals that were sent.
    fn react(&self, aftermath: &mut Aftermath) {
        if !self.is_alive() {
            return;
        }
        if self.is_killed {
            match self.script.on_kill {
                OnKill::Dies(after) => aftermath.later(after, Due::KillLands),
                OnKill::DiesLate(after) => {
                    aftermath.later(1, Due::KillReport);
                    aftermath.later(after, Due::KillLands);
                }
                OnKill::Survives => aftermath.later(1, Due::KillReport),
                OnKill::Silence => {}
            }
        }
        if !self.is_terminated {
            return;
        }
        if self.phase == Phase::Runs {
            if let Some(after) = self.script.heeds_term_after {
                let ended = Ended::Exit(Exit::Signal(Signal(15)));
                aftermath.later(after, Due::LeaderEnds(ended));
            }
        } else if let Stragglers::Heed(after) = self.script.stragglers {
            aftermath.later(after, Due::StragglersEnd);
        }
    }

    /// The supervisor died: whoever stands at a gate of its goes away.
    pub(crate) fn lose_gate(&mut self) {
        if self.phase == Phase::Asked {
            self.phase = Phase::Over;
        }
    }

    /// What a new supervisor finds of it; `None`: nothing. How its leader ended is told if
    /// `is_told`.
    pub(crate) fn found(&self, is_told: bool) -> Option<Found> {
        match self.phase {
            Phase::Runs => Some(Found::Alive),
            Phase::StragglersOnly | Phase::Over if self.is_executed => {
                let ended = self.ended.filter(|_| is_told);
                Some(Found::Ended(ended.unwrap_or(Ended::Unknown)))
            }
            Phase::Asked | Phase::StragglersOnly | Phase::Over => None,
        }
    }

    /// A new supervisor watches it: it asks for its readiness anew, and sees what was missed.
    pub(crate) fn adopt(&self) -> Aftermath {
        let mut aftermath = Aftermath::default();
        match self.phase {
            Phase::Runs => {
                if self.script.ready_after.is_some() {
                    aftermath.later(1, Due::Ready);
                }
            }
            Phase::Over => aftermath.told.push(RunEvent::Gone),
            Phase::Asked | Phase::StragglersOnly => {}
        }
        aftermath
    }

    pub(crate) fn happen(&mut self, due: Due) -> Aftermath {
        let mut aftermath = Aftermath::default();
        match (due, self.phase) {
            (Due::Answer, Phase::Asked) => self.answer(&mut aftermath),
            (Due::Ready, Phase::Runs) => {
                self.is_ready = true;
                aftermath.told.push(RunEvent::Ready);
            }
            (Due::Checked(is_well), Phase::Runs) if self.is_ready => {
                aftermath.told.push(if is_well {
                    RunEvent::Healthy
                } else {
                    RunEvent::Unwell("connection refused".into())
                });
            }
            (Due::LeaderEnds(ended), Phase::Runs) => {
                self.ended = Some(ended);
                aftermath.told.push(RunEvent::Exited(ended));
                if self.script.stragglers == Stragglers::None {
                    self.end(&mut aftermath);
                } else {
                    self.phase = Phase::StragglersOnly;
                    self.react(&mut aftermath);
                }
            }
            (Due::StragglersEnd, Phase::StragglersOnly) => self.end(&mut aftermath),
            (Due::KillLands, Phase::Runs) => {
                let ended = Ended::Exit(Exit::Signal(Signal(9)));
                self.ended = Some(ended);
                aftermath.told.push(RunEvent::Exited(ended));
                self.end(&mut aftermath);
            }
            (Due::KillLands, Phase::StragglersOnly) => self.end(&mut aftermath),
            (Due::KillReport, Phase::Runs | Phase::StragglersOnly) => {
                aftermath.told.push(RunEvent::Survived(vec![Survivor {
                    pid: i32::try_from(self.run.0).expect("few runs"),
                    command: self.service.to_string(),
                    user: "root".into(),
                    reason: "in uninterruptible sleep".into(),
                    is_killed: true,
                }]));
            }
            (
                Due::Answer
                | Due::Ready
                | Due::Checked(_)
                | Due::LeaderEnds(_)
                | Due::StragglersEnd
                | Due::KillLands
                | Due::KillReport,
                _,
            ) => {}
        }
        aftermath
    }

    fn answer(&mut self, aftermath: &mut Aftermath) {
        let is_given_up = self.is_terminated || self.is_killed;
        let failure = match self.script.answer {
            Answer::SpawnedStubbornly => None,
            Answer::Spawned => is_given_up.then_some(("starting", "given up", false)),
            Answer::Failed => Some(("opening the log", "no space left on device", false)),
            Answer::Blocked => Some(("finding the executable", "no such file", true)),
        };
        if let Some((stage, message, is_blocked)) = failure {
            self.phase = Phase::Over;
            aftermath.told.push(RunEvent::SpawnFailed(StartFailure {
                stage: stage.into(),
                message: message.into(),
                is_blocked,
            }));
            return;
        }
        self.phase = Phase::Runs;
        self.is_executed = true;
        aftermath.told.push(RunEvent::Spawned);
        if self.script.ready_after.is_none_or(|after| after > 100) {
            let refused = RunEvent::NotReady("connection refused".into());
            aftermath.told.push(refused);
        }
        if let Some(after) = self.script.ready_after {
            aftermath.later(after, Due::Ready);
        }
        for (after, is_well) in &self.script.checks {
            aftermath.later(*after, Due::Checked(*is_well));
        }
        if let Some((after, ended)) = self.script.ends_after {
            aftermath.later(after, Due::LeaderEnds(ended));
        }
        self.react(aftermath);
    }

    fn end(&mut self, aftermath: &mut Aftermath) {
        self.phase = Phase::Over;
        aftermath.told.push(RunEvent::Gone);
    }
}
